//! Tokenizers and chat templates. Pure: no GPU.
