"""Training: one loop that knows no task, checkpoints that resume to the same bits, and the three training
verbs.

loop.py: the training loop
task.py: the interface of a task
tasks/: what is learned: masked words, alignment, answers
losses/: a file per loss
pretrain.py: entry point: the text tower alone
align.py: entry point: image and text tower together
finetune.py: entry point: the decoder that answers, and the blind baseline
lora.py: low-rank adapters of frozen matrices
optimizer.py: AdamW, its groups and learning rates
pack_state.py: weights and moments as named arrays
schedule.py: warm-up and decay by step
micro_batches.py: a large batch in parts, with the gradients of the whole
mean_weights.py: an exponential mean of the weights
sharding.py: layers of large towers and decoders divided among processes
compiled.py: torch.compile on towers and decoder layers
distributed.py: several processes: sums and gathers
checkpoint.py: the whole state of a run on disk
resume.py: continues an interrupted run
step_profiler.py: traces some steps: operators, memory, where the time goes
sample_captions.py: which captions and questions a step draws
data_loader.py: batches read ahead by worker processes
image_loader.py: pictures as model input
feature_cache.py: what frozen towers compute, kept
save_model.py: weights, config, tokenizer and card on disk
training_progress.py: one line an evaluation, with ETA

Not here: architectures (`models`), pruning (`compress`), what is measured afterwards (`evaluate`).
"""
