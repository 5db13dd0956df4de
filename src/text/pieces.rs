//! The vocabulary: what each token id is called in its file, and what kind of token it is.

use std::collections::HashMap;

use crate::error::{Error, Result};

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Class {
    #[default]
    Normal,
    /// Stands for text that the model's training did not cover.
    Unknown,
    /// Marks structure (end of turn, mask); stands for no text. Found in text only when asked for.
    Control,
    /// Added by the model's authors; always found in text, before anything else.
    UserDefined,
    /// One byte, stored as `<0x0A>`.
    Byte,
    Unused,
}

#[derive(Debug, Default)]
pub struct Pieces {
    list: Vec<(Box<str>, Class)>,
    ids: HashMap<Box<str>, u32>,
}

impl Pieces {
    /// Ids are positions. Of equal pieces the last keeps the name, as in the programs that write these files.
    pub fn new(file: &str, pieces: impl IntoIterator<Item = (String, Class)>) -> Result<Pieces> {
        let list: Vec<(Box<str>, Class)> =
            pieces.into_iter().map(|(text, class)| (text.into(), class)).collect();
        if list.is_empty() {
            return Err(Error::file(file, "the vocabulary has no tokens"));
        }
        let bytes: usize = list.iter().map(|(text, _)| text.len()).sum();
        if u32::try_from(list.len()).is_err() || u32::try_from(bytes).is_err() {
            return Err(Error::file(file, format!("the vocabulary is too large: {} tokens", list.len())));
        }
        let ids = list.iter().enumerate().map(|(id, (text, _))| (text.clone(), id as u32)).collect();
        Ok(Pieces { list, ids })
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn text(&self, id: u32) -> Option<&str> {
        self.list.get(id as usize).map(|(text, _)| &**text)
    }

    /// `Normal` for an id outside the vocabulary.
    pub fn class(&self, id: u32) -> Class {
        self.list.get(id as usize).map_or(Class::Normal, |(_, class)| *class)
    }

    pub fn set_class(&mut self, id: u32, class: Class) {
        if let Some(piece) = self.list.get_mut(id as usize) {
            piece.1 = class;
        }
    }

    pub fn id(&self, text: &str) -> Option<u32> {
        self.ids.get(text).copied()
    }

    /// `(id, text, class)` in the order of ids.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &str, Class)> {
        self.list.iter().enumerate().map(|(id, (text, class))| (id as u32, &**text, *class))
    }

    /// The byte tokens of SentencePiece, by byte: the ids of `<0x00>` to `<0xFF>`.
    pub fn byte_tokens(&self) -> Box<[Option<u32>; 256]> {
        let mut table = Box::new([None; 256]);
        for (byte, id) in table.iter_mut().enumerate() {
            *id = self.id(&format!("<0x{byte:02X}>"));
        }
        table
    }
}

/// The byte that a piece like `<0x0A>` stands for.
pub fn byte_of(piece: &str) -> Option<u8> {
    let digits = piece.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() != 2 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    u8::from_str_radix(digits, 16).ok()
}
