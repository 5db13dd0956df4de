//! The keys and values of a GGUF file, in its order, with typed access.

use std::collections::HashMap;
use std::fmt;

use crate::error::{Error, Result};

/// One value, exactly as a file holds it.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    U64(u64),
    I64(i64),
    F32(f32),
    F64(f64),
    Bool(bool),
    String(String),
    U8s(Vec<u8>),
    I8s(Vec<i8>),
    U16s(Vec<u16>),
    I16s(Vec<i16>),
    U32s(Vec<u32>),
    I32s(Vec<i32>),
    U64s(Vec<u64>),
    I64s(Vec<i64>),
    F32s(Vec<f32>),
    F64s(Vec<f64>),
    Bools(Vec<bool>),
    Strings(Vec<String>),
}

impl Value {
    /// The one integer, of whatever width.
    fn integer(&self) -> Option<i128> {
        Some(match *self {
            Value::U8(n) => n.into(),
            Value::I8(n) => n.into(),
            Value::U16(n) => n.into(),
            Value::I16(n) => n.into(),
            Value::U32(n) => n.into(),
            Value::I32(n) => n.into(),
            Value::U64(n) => n.into(),
            Value::I64(n) => n.into(),
            _ => return None,
        })
    }
}

/// The type and, where it is short, the value: `the string "abc"`, `an array of 3 f32`.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let array = |f: &mut fmt::Formatter<'_>, n: usize, of: &str| write!(f, "an array of {n} {of}");
        match self {
            Value::F32(x) => write!(f, "the number {x:?}"),
            Value::F64(x) => write!(f, "the number {x:?}"),
            Value::Bool(b) => write!(f, "{b}"),
            Value::String(s) if s.chars().count() > 40 => {
                write!(f, "the string {:?}...", s.chars().take(40).collect::<String>())
            }
            Value::String(s) => write!(f, "the string {s:?}"),
            Value::U8s(v) => array(f, v.len(), "u8"),
            Value::I8s(v) => array(f, v.len(), "i8"),
            Value::U16s(v) => array(f, v.len(), "u16"),
            Value::I16s(v) => array(f, v.len(), "i16"),
            Value::U32s(v) => array(f, v.len(), "u32"),
            Value::I32s(v) => array(f, v.len(), "i32"),
            Value::U64s(v) => array(f, v.len(), "u64"),
            Value::I64s(v) => array(f, v.len(), "i64"),
            Value::F32s(v) => array(f, v.len(), "f32"),
            Value::F64s(v) => array(f, v.len(), "f64"),
            Value::Bools(v) => array(f, v.len(), "booleans"),
            Value::Strings(v) => array(f, v.len(), "strings"),
            integer => write!(f, "the integer {}", integer.integer().expect("all other kinds are above")),
        }
    }
}

/// A type that [`Metadata`] can be asked for.
pub trait FromValue<'a>: Sized {
    /// For messages: `an unsigned 32-bit integer`.
    const EXPECTED: &'static str;
    fn from_value(value: &'a Value) -> Option<Self>;
}

macro_rules! from_integer {
    ($($type:ty, $expected:literal;)*) => {$(
        /// Any integer that fits, whatever its width in the file.
        impl FromValue<'_> for $type {
            const EXPECTED: &'static str = $expected;
            fn from_value(value: &Value) -> Option<Self> {
                value.integer()?.try_into().ok()
            }
        }
    )*};
}

from_integer! {
    u32, "an integer from 0 to 4294967295";
    u64, "an integer from 0";
    usize, "an integer from 0";
    i32, "a 32-bit integer";
    i64, "an integer";
}

macro_rules! from_slice {
    ($($type:ty, $variant:ident, $expected:literal;)*) => {$(
        impl<'a> FromValue<'a> for &'a [$type] {
            const EXPECTED: &'static str = $expected;
            fn from_value(value: &'a Value) -> Option<Self> {
                match value {
                    Value::$variant(values) => Some(values),
                    _ => None,
                }
            }
        }
    )*};
}

from_slice! {
    u8, U8s, "an array of u8";
    i32, I32s, "an array of i32";
    u32, U32s, "an array of u32";
    f32, F32s, "an array of f32";
    bool, Bools, "an array of booleans";
    String, Strings, "an array of strings";
}

impl FromValue<'_> for f32 {
    const EXPECTED: &'static str = "a number with a fraction";
    fn from_value(value: &Value) -> Option<Self> {
        match *value {
            Value::F32(x) => Some(x),
            Value::F64(x) => Some(x as f32),
            _ => None,
        }
    }
}

impl FromValue<'_> for f64 {
    const EXPECTED: &'static str = "a number with a fraction";
    fn from_value(value: &Value) -> Option<Self> {
        match *value {
            Value::F32(x) => Some(x.into()),
            Value::F64(x) => Some(x),
            _ => None,
        }
    }
}

impl FromValue<'_> for bool {
    const EXPECTED: &'static str = "true or false";
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Bool(b) = *value { Some(b) } else { None }
    }
}

impl<'a> FromValue<'a> for &'a str {
    const EXPECTED: &'static str = "a string";
    fn from_value(value: &'a Value) -> Option<Self> {
        if let Value::String(s) = value { Some(s) } else { None }
    }
}

/// An array of integers of any width: head counts per layer come as u32 or i32.
impl FromValue<'_> for Vec<i64> {
    const EXPECTED: &'static str = "an array of integers";
    fn from_value(value: &Value) -> Option<Self> {
        Some(match value {
            Value::U8s(v) => v.iter().map(|&n| n.into()).collect(),
            Value::I8s(v) => v.iter().map(|&n| n.into()).collect(),
            Value::U16s(v) => v.iter().map(|&n| n.into()).collect(),
            Value::I16s(v) => v.iter().map(|&n| n.into()).collect(),
            Value::U32s(v) => v.iter().map(|&n| n.into()).collect(),
            Value::I32s(v) => v.iter().map(|&n| n.into()).collect(),
            Value::U64s(v) => v.iter().map(|&n| n.try_into().ok()).collect::<Option<_>>()?,
            Value::I64s(v) => v.clone(),
            _ => return None,
        })
    }
}

/// Keys and values in the order of the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metadata {
    /// The file they come from, for messages.
    file: String,
    entries: Vec<(String, Value)>,
    by_key: HashMap<String, usize>,
}

impl Metadata {
    /// No keys yet. `file` is for messages.
    pub fn new(file: impl Into<String>) -> Metadata {
        Metadata { file: file.into(), ..Metadata::default() }
    }

    /// Adds a key at the end. A key that is there already is an error.
    pub fn insert(&mut self, key: impl Into<String>, value: Value) -> Result<()> {
        let key = key.into();
        if self.by_key.contains_key(&key) {
            return Err(Error::file(&self.file, format!("key {key} appears twice")));
        }
        self.by_key.insert(key.clone(), self.entries.len());
        self.entries.push((key, value));
        Ok(())
    }

    /// Gives a key another value, or adds it.
    pub fn replace(&mut self, key: &str, value: Value) {
        match self.by_key.get(key) {
            Some(&index) => self.entries[index].1 = value,
            None => {
                self.by_key.insert(key.to_owned(), self.entries.len());
                self.entries.push((key.to_owned(), value));
            }
        }
    }

    pub fn get(&self, key: &str) -> Option<&Value> {
        self.by_key.get(key).map(|&index| &self.entries[index].1)
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value))
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The value of a key that may be absent; of another type, it is an error.
    pub fn optional<'a, T: FromValue<'a>>(&'a self, key: &str) -> Result<Option<T>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match T::from_value(value) {
            Some(typed) => Ok(Some(typed)),
            None => {
                Err(Error::file(&self.file, format!("key {key}: expected {}, found {value}", T::EXPECTED)))
            }
        }
    }

    /// The value of a key that must be there.
    pub fn required<'a, T: FromValue<'a>>(&'a self, key: &str) -> Result<T> {
        self.optional(key)?
            .ok_or_else(|| Error::file(&self.file, format!("key {key} is missing; expected {}", T::EXPECTED)))
    }

    pub fn str(&self, key: &str) -> Result<&str> {
        self.required(key)
    }

    pub fn u32(&self, key: &str) -> Result<u32> {
        self.required(key)
    }

    pub fn u64(&self, key: &str) -> Result<u64> {
        self.required(key)
    }

    pub fn usize(&self, key: &str) -> Result<usize> {
        self.required(key)
    }

    pub fn f32(&self, key: &str) -> Result<f32> {
        self.required(key)
    }

    pub fn bool(&self, key: &str) -> Result<bool> {
        self.required(key)
    }

    pub fn strings(&self, key: &str) -> Result<&[String]> {
        self.required(key)
    }

    /// `general.architecture`: `llama`.
    pub fn architecture(&self) -> Result<&str> {
        self.str("general.architecture")
    }

    /// A key of the architecture: `block_count` is `llama.block_count`.
    pub fn arch_key(&self, suffix: &str) -> Result<String> {
        Ok(format!("{}.{suffix}", self.architecture()?))
    }
}
