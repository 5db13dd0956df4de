//! A reader of GGUF metadata for tests: panics on anything unexpected.

use std::path::Path;

use aquatint::text::GgufVocab;

enum Value {
    Number(f64),
    Text(String),
    List(Vec<Value>),
}

struct Reader(std::io::BufReader<std::fs::File>);

impl Reader {
    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        std::io::Read::read_exact(&mut self.0, &mut bytes).expect("the file goes on");
        bytes
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.bytes())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }

    fn text(&mut self) -> String {
        let mut bytes = vec![0; self.u64() as usize];
        std::io::Read::read_exact(&mut self.0, &mut bytes).expect("the file goes on");
        String::from_utf8(bytes).expect("UTF-8")
    }

    fn value(&mut self, kind: u32) -> Value {
        Value::Number(match kind {
            0 => f64::from(u8::from_le_bytes(self.bytes())),
            1 => f64::from(i8::from_le_bytes(self.bytes())),
            2 => f64::from(u16::from_le_bytes(self.bytes())),
            3 => f64::from(i16::from_le_bytes(self.bytes())),
            4 => f64::from(self.u32()),
            5 => f64::from(i32::from_le_bytes(self.bytes())),
            6 => f64::from(f32::from_le_bytes(self.bytes())),
            7 => f64::from(u8::from_le_bytes(self.bytes())),
            8 => return Value::Text(self.text()),
            9 => {
                let kind = self.u32();
                let n_values = self.u64();
                return Value::List((0..n_values).map(|_| self.value(kind)).collect());
            }
            10 | 11 => self.u64() as f64,
            12 => f64::from_le_bytes(self.bytes()),
            _ => panic!("value kind {kind}"),
        })
    }
}

pub fn vocabulary(path: &Path) -> GgufVocab {
    let file = std::fs::File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut reader = Reader(std::io::BufReader::new(file));
    assert_eq!(&reader.bytes(), b"GGUF");
    let _version = reader.u32();
    let _n_tensors = reader.u64();
    let n_keys = reader.u64();
    let mut vocab = GgufVocab::default();
    for _ in 0..n_keys {
        let key = reader.text();
        let kind = reader.u32();
        set(&mut vocab, &key, reader.value(kind));
    }
    vocab
}

fn set(vocab: &mut GgufVocab, key: &str, value: Value) {
    let Some(key) = key.strip_prefix("tokenizer.") else { return };
    let texts = |list: Vec<Value>| {
        list.into_iter().map(|v| match v {
            Value::Text(text) => text,
            _ => panic!("expected text"),
        })
    };
    let numbers = |list: Vec<Value>| {
        list.into_iter().map(|v| match v {
            Value::Number(number) => number,
            _ => panic!("expected a number"),
        })
    };
    match (key, value) {
        ("ggml.model", Value::Text(text)) => vocab.model = text,
        ("ggml.pre", Value::Text(text)) => vocab.pre = Some(text),
        ("chat_template", Value::Text(text)) => vocab.chat_template = Some(text),
        ("ggml.tokens", Value::List(list)) => vocab.tokens = texts(list).collect(),
        ("ggml.merges", Value::List(list)) => vocab.merges = texts(list).collect(),
        ("ggml.scores", Value::List(list)) => vocab.scores = numbers(list).map(|n| n as f32).collect(),
        ("ggml.token_type", Value::List(list)) => {
            vocab.token_types = numbers(list).map(|n| n as i32).collect()
        }
        ("ggml.precompiled_charsmap", Value::List(list)) => {
            vocab.precompiled_charsmap = numbers(list).map(|n| n as i64 as u8).collect();
        }
        ("ggml.bos_token_id", Value::Number(n)) => vocab.bos = Some(n as u32),
        ("ggml.eos_token_id", Value::Number(n)) => vocab.eos = Some(n as u32),
        ("ggml.eot_token_id", Value::Number(n)) => vocab.eot = Some(n as u32),
        ("ggml.unknown_token_id", Value::Number(n)) => vocab.unk = Some(n as u32),
        ("ggml.seperator_token_id", Value::Number(n)) => vocab.sep = Some(n as u32),
        ("ggml.padding_token_id", Value::Number(n)) => vocab.pad = Some(n as u32),
        ("ggml.cls_token_id", Value::Number(n)) => vocab.cls = Some(n as u32),
        ("ggml.mask_token_id", Value::Number(n)) => vocab.mask = Some(n as u32),
        ("ggml.add_bos_token", Value::Number(n)) => vocab.add_bos = Some(n != 0.0),
        ("ggml.add_eos_token", Value::Number(n)) => vocab.add_eos = Some(n != 0.0),
        ("ggml.add_sep_token", Value::Number(n)) => vocab.add_sep = Some(n != 0.0),
        ("ggml.add_space_prefix", Value::Number(n)) => vocab.add_space_prefix = Some(n != 0.0),
        ("ggml.remove_extra_whitespaces", Value::Number(n)) => {
            vocab.remove_extra_whitespaces = Some(n != 0.0);
        }
        _ => {}
    }
}
