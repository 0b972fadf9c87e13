# Serves a bundle: docker run -p 8000:8000 -v $PWD/models/bundle:/bundle:ro -v $PWD/keys.env:/keys.env:ro sightline
# (or COPY models/bundle /bundle below). Its settings are those of deploy/prod.yaml; change some by
# docker run -e SIGHTLINE_SERVE__LIMITS__QUEUE=32. The wheels of requirements-serve.txt hold no PyTorch.
# --build-arg PAGE=yes: with what the page needs; it is shown by -e SIGHTLINE_SERVE__PAGE=true, behind a login.
ARG PYTHON=3.11.13-slim-bookworm
FROM python:${PYTHON} AS build
ARG PAGE=no
WORKDIR /src
COPY pyproject.toml setup.py README.md requirements*.in requirements-serve.txt requirements.txt dvc.yaml params.yaml .dvcignore ./
COPY .dvc/config .dvc/page.html .dvc/
COPY .dvc/plots .dvc/plots
COPY data/no_input data/
COPY metrics/cost.json metrics/
COPY deploy deploy
COPY profiles profiles
COPY stages stages
COPY src/sightline src/sightline
RUN python -m venv /venv \
 && /venv/bin/pip install --no-cache-dir --requirement requirements-serve.txt \
 && if [ "$PAGE" = yes ]; then /venv/bin/pip install --no-cache-dir --constraint requirements.txt gradio; fi \
 && /venv/bin/pip install --no-cache-dir --no-deps .

FROM python:${PYTHON}
RUN useradd --uid 10001 --no-create-home sightline
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1 ORT_DISABLE_TELEMETRY=1 \
    SIGHTLINE_SERVE__MODEL=/bundle SIGHTLINE_SERVE__KEYS=/keys.env
USER sightline
WORKDIR /tmp
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/live', timeout=2)"]
ENTRYPOINT ["sightline", "serve"]
CMD ["--env", "prod"]
