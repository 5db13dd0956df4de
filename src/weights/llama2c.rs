//! The checkpoint of llama2.c, its first version: small story models.
//!
//! ```text
//! dim | hidden_dim | n_layers | n_heads | n_kv_heads | vocab_size | seq_len      7 x i32
//! then f32, for all layers together, little-endian:
//!   token_embd    (vocab, dim)               attn_norm    (layer, dim)
//!   attn_q        (layer, dim, dim)          attn_k, v    (layer, n_kv_heads * head_dim, dim)
//!   attn_output   (layer, dim, dim)          ffn_norm     (layer, dim)
//!   ffn_gate      (layer, hidden, dim)       ffn_down     (layer, dim, hidden)
//!   ffn_up        (layer, hidden, dim)       output_norm  (dim)
//!   cosines and sines of an older program    2 x (seq_len, head_dim / 2), skipped
//!   output        (vocab, dim)               only where vocab_size is negative
//! ```
//!
//! Names and keys are those a GGUF file of the `llama` architecture has. Like there, rows of q and k
//! are in the order of interleaved rotary pairs.
//!
//! Source: <https://github.com/karpathy/llama2.c>, `export.py` (`legacy_export`) and `run.c`.

use super::{Contents, Metadata, TensorInfo, Value};
use crate::error::{Error, Result};
use crate::tensor::{Shape, format};

const HEADER_BYTES: usize = 7 * 4;
const FIELDS: [&str; 7] = ["dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "seq_len"];
/// Of later versions of the file: "ak42" as a little-endian u32.
pub(super) const LATER_MAGIC: &[u8; 4] = b"24ka";

struct Header {
    dim: usize,
    hidden_dim: usize,
    n_layers: usize,
    n_heads: usize,
    n_kv_heads: usize,
    vocab_size: usize,
    seq_len: usize,
    /// The output projection is the token embedding.
    tied: bool,
}

/// Reads everything but the weights themselves. `file`: for messages.
pub(super) fn read(file: &str, bytes: &[u8]) -> Result<Contents> {
    let header = read_header(file, bytes)?;
    check_length(file, &header, bytes.len())?;
    Ok(Contents { metadata: metadata(file, &header)?, tensors: tensors(&header)?, ignored: Vec::new() })
}

fn read_header(file: &str, bytes: &[u8]) -> Result<Header> {
    if bytes.starts_with(LATER_MAGIC) {
        return Err(Error::Unsupported(format!(
            "{file}: a later version of the llama2.c file is not supported; export version 0"
        )));
    }
    let Some(words) = bytes.get(..HEADER_BYTES) else {
        return Err(Error::file(
            file,
            format!("{} bytes are too few for the header of llama2.c", bytes.len()),
        ));
    };
    let fields: Vec<i32> =
        words.chunks_exact(4).map(|word| i32::from_le_bytes([word[0], word[1], word[2], word[3]])).collect();
    for (name, &value) in FIELDS.iter().zip(&fields) {
        // A negative vocabulary size says that the output projection follows.
        let value = if *name == "vocab_size" { value.saturating_abs() } else { value };
        if !(1..=1 << 24).contains(&value) {
            return Err(Error::file(file, format!("not a llama2.c file: {name} is {value}")));
        }
    }
    let field = |index: usize| fields[index].unsigned_abs() as usize;
    let header = Header {
        dim: field(0),
        hidden_dim: field(1),
        n_layers: field(2),
        n_heads: field(3),
        n_kv_heads: field(4),
        vocab_size: field(5),
        seq_len: field(6),
        tied: fields[5] > 0,
    };
    if !header.dim.is_multiple_of(2 * header.n_heads) || !header.n_heads.is_multiple_of(header.n_kv_heads) {
        return Err(Error::file(
            file,
            format!(
                "not a llama2.c file: dim {}, {} heads and {} kv heads do not divide evenly",
                header.dim, header.n_heads, header.n_kv_heads
            ),
        ));
    }
    Ok(header)
}

impl Header {
    fn head_dim(&self) -> usize {
        self.dim / self.n_heads
    }

    fn kv_dim(&self) -> usize {
        self.n_kv_heads * self.head_dim()
    }

    /// (name, shape of one layer, per layer) of every array of the file, in order. No name: skipped.
    fn arrays(&self) -> Vec<(&'static str, Vec<usize>, bool)> {
        let &Header { dim, hidden_dim, vocab_size, seq_len, .. } = self;
        let mut arrays = vec![
            ("token_embd", vec![vocab_size, dim], false),
            ("attn_norm", vec![dim], true),
            ("attn_q", vec![dim, dim], true),
            ("attn_k", vec![self.kv_dim(), dim], true),
            ("attn_v", vec![self.kv_dim(), dim], true),
            ("attn_output", vec![dim, dim], true),
            ("ffn_norm", vec![dim], true),
            ("ffn_gate", vec![hidden_dim, dim], true),
            ("ffn_down", vec![dim, hidden_dim], true),
            ("ffn_up", vec![hidden_dim, dim], true),
            ("output_norm", vec![dim], false),
            ("", vec![2 * seq_len, self.head_dim() / 2], false),
        ];
        if !self.tied {
            arrays.push(("output", vec![vocab_size, dim], false));
        }
        arrays
    }
}

/// The length of the file says whether the header is one. Nothing is allocated per layer before this.
fn check_length(file: &str, header: &Header, file_bytes: usize) -> Result<()> {
    // Extents are at most 2^24, so that no product of three and no sum of these overflows 128 bits.
    let n_values: u128 = header
        .arrays()
        .iter()
        .map(|(_, shape, per_layer)| {
            let n: u128 = shape.iter().map(|&extent| extent as u128).product();
            if *per_layer { n * header.n_layers as u128 } else { n }
        })
        .sum();
    let expected = HEADER_BYTES as u128 + 4 * n_values;
    if expected == file_bytes as u128 {
        return Ok(());
    }
    Err(Error::file(
        file,
        format!(
            "expected {expected} bytes for llama2.c with dim {}, hidden_dim {}, {} layers, {} of {} heads, vocabulary \
             {} and length {}; the file has {file_bytes}",
            header.dim,
            header.hidden_dim,
            header.n_layers,
            header.n_kv_heads,
            header.n_heads,
            header.vocab_size,
            header.seq_len
        ),
    ))
}

fn tensors(header: &Header) -> Result<Vec<TensorInfo>> {
    let format = format::by_name("F32")?;
    let mut tensors = Vec::new();
    let mut at = HEADER_BYTES;
    for (name, shape, per_layer) in header.arrays() {
        let n_bytes = 4 * shape.iter().product::<usize>();
        for layer in 0..if per_layer { header.n_layers } else { 1 } {
            let bytes = at..at + n_bytes;
            at = bytes.end;
            if !name.is_empty() {
                let name =
                    if per_layer { format!("blk.{layer}.{name}.weight") } else { format!("{name}.weight") };
                tensors.push(TensorInfo { name, shape: Shape::new(shape.clone()), format, file: 0, bytes });
            }
        }
    }
    Ok(tensors)
}

fn metadata(file: &str, header: &Header) -> Result<Metadata> {
    let mut metadata = Metadata::new(file);
    metadata.insert("general.architecture", Value::String("llama".into()))?;
    for (key, value) in [
        ("llama.vocab_size", header.vocab_size),
        ("llama.context_length", header.seq_len),
        ("llama.embedding_length", header.dim),
        ("llama.block_count", header.n_layers),
        ("llama.feed_forward_length", header.hidden_dim),
        ("llama.attention.head_count", header.n_heads),
        ("llama.attention.head_count_kv", header.n_kv_heads),
        ("llama.rope.dimension_count", header.head_dim()),
    ] {
        metadata.insert(key, Value::U32(value as u32))?;
    }
    // Constants of the program, which the file does not hold.
    metadata.insert("llama.rope.freq_base", Value::F32(10000.0))?;
    metadata.insert("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5))?;
    Ok(metadata)
}
