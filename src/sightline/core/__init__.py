"""What every room stands on: parameters, files, artifacts, processes, drawing. It reads no pictures and
knows nothing of models or training, and imports no other room and no torch.

params/: params.yaml read and checked: a file a section
dvc_lock.py: a whole dvc.lock, and its copy
artifacts.py: folders with a manifest, complete and verified or absent
hub_files.py: files of a model on the Hugging Face hub at a pinned commit
checked_files.py: large files of an artifact, checked where they are read
folder_lock.py: one process at a time in a folder
atomic_io.py: files that are whole or absent, hashes
replace_folder.py: a finished folder in place of an older one, never of what Sightline did not write
shard_map.py: a function mapped over shards by a pool of processes or a Ray cluster
source_digest.py: which code decides a result
packaged_project.py: dvc.yaml, stages and profiles as the checkout or the wheel holds them
preprocessing.py: how a picture becomes the input of a model: sizes, filter, mean, deviation
registry.py: a name in params.yaml is a file name of a folder
runtime.py: the process of a stage: device, threads, seeds, signals, its cost
disk_writers.py: which processes on several machines write files
machine.py: the machine that something was measured on
device_usage.py: how long a process holds an accelerator, and its memory there
trace_events.py: traces in Chrome's format: spans, self times
profile_page.py: what a profile shows: page, figures, trace
progress.py: how far a long step is: a bar, or plain lines
launch.py: the command that starts a training stage
launcher_watchdog.py: ends a process whose launcher has died
plain_text.py: texts of others without the signs that steer a terminal
typed_json.py: JSON files from anywhere, by a schema
tracking.py: training curves (DVCLive)
tracking_outbox.py: what stages tell MLflow and TensorBoard, as files that wait to be sent
plotting.py: pictures and charts by matplotlib
templates.py: pages from Jinja2 templates; templates/: the frame and look of offline HTML pages

Not here: anything that only one room needs; it belongs to that room.
"""
