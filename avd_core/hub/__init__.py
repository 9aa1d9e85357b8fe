"""The Hugging Face Hub: push, model card, and training as a job."""
