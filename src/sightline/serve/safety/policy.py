"""The schema of a policy (deploy/safety/default.yaml) and of its rules (deploy/safety/english.yaml), and the
reasons that decisions are given.

Files are read as those of `deploy/` are: an unknown key, another type, a missing value are told with file and
line. Either may `extends` another file of its folder.
"""

from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, Field, ValidationError

from sightline.core.params.checks import Name, ParamsError, Settings, allowed
from sightline.core.params.loader import nested
from sightline.core.params.params_files import ParamsFile, optional, prefixes, read_extending, translated
from sightline.core.params.sections import leaves
from sightline.serve.safety.phrase_rules import Lexicon, PatternError, Rules
from sightline.serve.safety.question_classifier import QuestionClassifier

QuestionReason = Literal[
    "question_race", "question_religion", "question_health", "question_sexuality", "question_politics",
    "question_crime", "question_identity",
]  # fmt: skip
AnswerReason = Literal["answer_unsure", "picture_out_of_domain", "question_out_of_domain", "blocked_word"]
DataReason = Literal[
    "personal_data_email",
    "personal_data_phone",
    "personal_data_card",
    "personal_data_iban",
    "personal_data_ip",
]
Reason = Literal[QuestionReason, AnswerReason, DataReason]
LimitReason = Literal["request_too_large", "request_invalid"]  # refused by a limit or the schema: an error
REASONS: tuple[str, ...] = get_args(Reason)
LIMIT_REASONS: tuple[str, ...] = get_args(LimitReason)
Decision = Literal["allowed", "marked", "masked", "refused"]  # from the mildest
DECISIONS: tuple[str, ...] = get_args(Decision)

OnQuestion = Literal["refuse", "mark", "allow"]
OnAnswer = Literal["refuse", "mark", "allow"]
OnWord = Literal["refuse", "mask", "mark", "allow"]
OnData = Literal["drop", "mask", "allow"]
Phrases = Annotated[tuple[str, ...], Field(strict=False)]


class QuestionPolicy(Settings):
    """What happens to a question, by what it asks about a person; `mark` answers it and says so."""

    race: OnQuestion = Field(description="race, ethnicity, nationality, colour of skin")
    religion: OnQuestion = Field(description="religion, faith, worship")
    health: OnQuestion = Field(description="illness, disability, pregnancy, addiction")
    sexuality: OnQuestion = Field(description="sexual orientation and life, gender identity")
    politics: OnQuestion = Field(description="party, vote, opinions")
    crime: OnQuestion = Field(description="whether someone is or was a criminal")
    identity: OnQuestion = Field(description="who someone is: name, address, fame")
    searches: bool = Field(description="texts that are searched with are judged as questions are")


class AnswerPolicy(Settings):
    """What happens to an answer."""

    unsure: OnAnswer = Field(description="its confidence is below the bound that was fitted on `val`")
    picture_out_of_domain: OnAnswer = Field(description="its picture is unlike those of training")
    question_out_of_domain: OnAnswer = Field(description="its question is unlike those of training")
    blocked_word: OnWord = Field(
        description="it holds a word of `blocked_words`; captions of results are masked unless this is "
        "`mark` or `allow`"
    )


class PersonalDataPolicy(Settings):
    """What happens to personal data in captions of results, in captions that a question is read beside, and
    in answers. `mask` puts `[email]` and so on in its place; `drop` leaves the result out, and refuses an
    answer."""

    email: OnData = Field(description="e-mail addresses, also with (at) and (dot)")
    phone: OnData = Field(description="telephone numbers: with a country code, as in North America, with a 0 "
                          "before the area, or after a word such as tel")  # fmt: skip
    card: OnData = Field(description="card numbers of 13 to 19 digits with the right check digit (Luhn)")
    iban: OnData = Field(
        description="account numbers with the length of their country and the right check digits"
    )
    ip: OnData = Field(description="IPv4 and IPv6 addresses")


class ClassifierPolicy(Settings):
    """The classifier that joins the rules: a question is of a category if either says so."""

    weights: Name = Field(description="its file, as seen from the policy's folder")
    threshold: float = Field(
        ge=0.0, le=1.0, description="a question is of a category above this probability; 1: rules only"
    )


class Policy(Settings):
    """A policy, in the order of deploy/safety/default.yaml."""

    rules: Name = Field(description="the file of words and patterns, as seen from the policy's folder")
    classifier: ClassifierPolicy
    questions: QuestionPolicy
    answers: AnswerPolicy
    personal_data: PersonalDataPolicy


class CategoryRules(Settings):
    """The patterns of a category: what is caught, and what is taken out of a question before."""

    spare: Phrases = Field(description="harmless phrases with a word of the category")
    catch: Phrases = Field(description="a question that holds one of them is of the category")


class RulesFile(Settings):
    """Words and patterns, in the order of deploy/safety/english.yaml."""

    small_words: Name = Field(description="words that `_` does not stand for")
    lists: dict[str, Phrases] = Field(description="what `<name>` stands for in a pattern")
    race: CategoryRules
    religion: CategoryRules
    health: CategoryRules
    sexuality: CategoryRules
    politics: CategoryRules
    crime: CategoryRules
    identity: CategoryRules
    blocked_words: Phrases = Field(
        description="words, or beginnings of words with *, that no answer may hold"
    )


CATEGORIES = tuple(name for name in QuestionPolicy.model_fields if name != "searches")


class LoadedRules:
    """A rules file, compiled. Raises ParamsError for a pattern that is none."""

    def __init__(self, path: Path) -> None:
        files, rules = _read(path, RulesFile)
        self.blocked_words: tuple[str, ...] = rules.blocked_words
        blocked = {"blocked": list(rules.blocked_words)}
        key = "lists"
        try:
            self.lexicon = Lexicon(rules.lists, rules.small_words)
            self.categories: dict[str, Rules] = {}
            for key in CATEGORIES:
                of_category: CategoryRules = getattr(rules, key)
                self.categories[key] = Rules(self.lexicon, of_category.spare, of_category.catch)
            key = "blocked_words"
            self.blocked = Rules(Lexicon(blocked, ""), (), ("<blocked>",))
            self.blocked_lexicon = Lexicon(blocked, "")
        except PatternError as error:
            words = "words and patterns as deploy/safety/english.yaml explains them"
            raise files[0].located(ParamsError(key, str(error), words)) from None


@cache
def load(path: str) -> tuple[Policy, LoadedRules, QuestionClassifier | None]:
    """The policy of a file, its rules, and its classifier if it is on; once a process. Raises ParamsError
    that names file, line, key, what was got and what is allowed, and ValueError for damaged weights."""
    files, policy = _read(Path(path), Policy)
    rules = LoadedRules(_beside(files, "rules", policy.rules))
    if policy.classifier.threshold == 1.0:
        return policy, rules, None
    weights = _beside(files, "classifier.weights", policy.classifier.weights)
    return policy, rules, QuestionClassifier.load(weights, len(CATEGORIES))


def to_train(path: Path) -> tuple[Path, Lexicon, float]:
    """(the file of the weights that a policy names, which need not be there, the lists that they are trained
    with, the threshold). Raises ParamsError."""
    files, policy = _read(path, Policy)
    setting = next(file for file in files if "classifier.weights" in file.filled())
    lexicon = LoadedRules(_beside(files, "rules", policy.rules)).lexicon
    return setting.path.parent / policy.classifier.weights, lexicon, policy.classifier.threshold


def _beside(files: list[ParamsFile], key: str, name: str) -> Path:
    """The file that a setting names, as seen from the policy that sets it."""
    setting = next(file for file in files if key in file.filled())
    path = setting.path.parent / name
    if not path.is_file():
        raise setting.located(ParamsError(key, repr(name), f"a file in {setting.path.parent}"))
    return path


def _read(path: Path, model: type[Any]) -> tuple[list[ParamsFile], Any]:
    """The file and those that it extends, and what comes of them."""
    files = [read_extending(path, model)]
    while (name := files[-1].extends) is not None:
        further = files[-1].path.parent / (name if name.endswith(".yaml") else f"{name}.yaml")
        if not further.is_file() or further.resolve() in {file.path.resolve() for file in files}:
            words = f"another file of {further.parent}, which does not extend this one"
            raise files[-1].located(ParamsError("extends", repr(name), words))
        files.append(read_extending(further, model))
    values: dict[str, Any] = {}
    for file in reversed(files):
        values |= file.filled()
    for key, field in leaves(model).items():
        if key not in values and not optional(key, model):
            words = f"{allowed(field)}, here or in a file that this one extends"
            cure = "" if files[0].extends else "; begin the file with `extends: default`"
            raise files[0].located(ParamsError(key, "nothing", words, cure=cure if model is Policy else ""))
    return files, _valid(files, model, values)


def _valid(files: list[ParamsFile], model: type[BaseModel], values: dict[str, Any]) -> BaseModel:
    try:
        return model.model_validate(nested(values))
    except ValidationError as error:
        problem = translated(error, model=model)
        keys = prefixes(problem.key)
        raise next(file for file in files if any(key in file.filled() for key in keys)).located(
            problem
        ) from None
