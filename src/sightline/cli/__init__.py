"""The command line: one file per group of commands. Nothing here imports torch; a verb that needs it
imports it when called.

main.py: `sightline`: collects the groups
app.py: the application, its panels, what commands share
ask.py: ask, search
audit.py: audit
explain.py: explain, failures
red_team.py: red-team
serve.py: serve
monitor.py: monitor
data_commands.py: index, dataset-report, out-of-domain
init.py: init
profile_commands.py: profile ask, profile serve
share.py: push-to-hub, save-pretrained
conversion.py: convert-model
release.py: track, register, promote
tune.py: tune
project_commands.py: params, estimate, demo, doctor, tables
picture_input.py: pictures from the command line: files, folders, archives, addresses
diagnostics.py: the checks of doctor
sbom.py: `make sbom`: the packages of the lock file as CycloneDX
rebuild_estimate/: what a build that was never measured takes
new_repository/: the repository that `sightline init` makes
tuning/: the search of `sightline tune`
dvc_outs.py: what dvc.lock records of built files, and their copies in the cache
verification.py: built files and the cache against dvc.lock, and their repair
checkout_files.py: where the checkout is, copies, cost of a rebuild
readme_tables.py: the measured tables of README and of docs/reports

Not here: what a command does (the room it calls), lab commands (`sightline_lab/cli`).
"""
