"""Schema of the section `red_team`: how hard the model is attacked."""

from typing import Annotated

from pydantic import Field

from sightline.core.params.checks import Count, Settings


class RedTeamParams(Settings):
    """Parameters of the red_team stage. Two models are comparable where they were attacked alike."""

    items: Count = Field(description="attacks of a family, or as many as the split gives")
    seed: int = Field(ge=0, lt=2**63, description="of what is drawn for attacks")
    epsilon: Annotated[int, Field(ge=1, le=255)] = Field(
        description="family small_perturbation: the most that a value of a pixel is changed, of 255"
    )
    queries: Count = Field(
        description="family small_perturbation: how often the search asks the model, per attack"
    )
