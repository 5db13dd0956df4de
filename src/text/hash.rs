//! Hash tables that are read for every token.
//!
//! A few multiplications per key instead of the standard hash, which costs more than what it finds. Each table
//! has a random seed, so that no file can hold keys which all fall on the same place.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

pub type Table<K, V> = HashMap<K, V, Seed>;

#[derive(Clone)]
pub struct Seed(u64);

impl Default for Seed {
    fn default() -> Seed {
        Seed(RandomState::new().hash_one(0))
    }
}

impl BuildHasher for Seed {
    type Hasher = Folding;

    fn build_hasher(&self) -> Folding {
        Folding(self.0)
    }
}

/// Multiplies and folds the halves of the product together.
pub struct Folding(u64);

/// Digits of pi: no pattern, and odd.
const MULTIPLIER: u64 = 0x243f_6a88_85a3_08d3;

impl Hasher for Folding {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            self.write_u64(u64::from_le_bytes(word.try_into().expect("8 bytes")));
        }
        let mut last = [0; 8];
        last[..words.remainder().len()].copy_from_slice(words.remainder());
        // The length tells bytes from the zeros behind them.
        self.write_u64(u64::from_le_bytes(last) ^ (bytes.len() as u64).rotate_right(8));
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn write_u64(&mut self, value: u64) {
        let product = u128::from(self.0 ^ value) * u128::from(MULTIPLIER);
        self.0 = product as u64 ^ (product >> 64) as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_spread() {
        let seed = Seed::default();
        let mut places = vec![0u32; 1 << 12];
        for a in 0..256u32 {
            for b in 0..256u32 {
                let place = seed.hash_one((a, b)) as usize % places.len();
                places[place] += 1;
            }
        }
        // 16 keys per place on average.
        assert!(places.iter().all(|&n| n < 64), "{:?}", places.iter().max());
        assert_ne!(seed.hash_one("a"), seed.hash_one("a\0"));
        assert_eq!(seed.hash_one("abcdefgh-"), seed.hash_one("abcdefgh-"));
    }
}
