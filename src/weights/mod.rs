//! Model files: names, shapes, metadata, mapped bytes. Pure: no GPU.
