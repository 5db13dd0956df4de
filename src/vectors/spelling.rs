//! Words that an unknown word may stand for.

/// The words most like `wanted`: other capitals first, then the fewest letters changed, then the commonest,
/// as files of vectors have them first.
pub fn similar_words<'a>(words: impl IntoIterator<Item = &'a str>, wanted: &str, n: usize) -> Vec<&'a str> {
    let lower: Vec<char> = wanted.to_lowercase().chars().collect();
    let most = if lower.len() <= 3 { 1 } else { 2 };
    let mut found: Vec<(usize, usize, &str)> = Vec::new();
    for (i, word) in words.into_iter().enumerate() {
        // A byte is no letter, but a word of twice the bytes has other letters in any alphabet.
        if word.len() > 4 * (lower.len() + most) {
            continue;
        }
        let other: Vec<char> = word.to_lowercase().chars().collect();
        if other.len().abs_diff(lower.len()) <= most
            && let distance = distance(&lower, &other)
            && distance <= most
        {
            found.push((distance, i, word));
        }
    }
    found.sort_unstable();
    found.into_iter().take(n).map(|(_, _, word)| word).collect()
}

/// Letters to insert, delete or replace (Levenshtein).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_words_are_found() {
        let words = ["the", "queen", "queens", "King", "green", "kings", "q"];
        assert_eq!(similar_words(words, "quen", 3), ["queen", "queens"]);
        assert_eq!(similar_words(words, "king", 3), ["King", "kings"]);
        assert_eq!(similar_words(words, "xylophone", 3), [""; 0]);
        assert_eq!(distance(&['a', 'b'], &['b', 'c']), 2);
    }
}
