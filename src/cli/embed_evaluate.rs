//! How well sentence vectors agree with people: Spearman's correlation over scored pairs.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use serde_json::json;

use super::{common, csv};
use crate::engine::{Encoder, EncoderInput, Pooling, cosine};
use crate::error::{Error, Result};

/// Prints the correlation of the cosines of sentence vectors with given scores, by their ranks.
pub fn evaluate(
    encoder: &mut Encoder,
    pooling: Pooling,
    file: &Path,
    to_input: &dyn Fn(&str) -> Result<EncoderInput>,
    as_json: bool,
) -> Result<ExitCode> {
    let text = common::text_or_file(None, Some(file))?;
    let (mut texts, mut scores) = (Vec::new(), Vec::new());
    for (i, (line, fields)) in csv::records(&text).into_iter().enumerate() {
        let score = fields.last().and_then(|field| field.trim().parse::<f64>().ok());
        match (score, fields.len() >= 3) {
            (Some(score), true) => {
                texts.push(fields[fields.len() - 3].clone());
                texts.push(fields[fields.len() - 2].clone());
                scores.push(score);
            }
            // A first line may name the columns.
            _ if i == 0 => {}
            _ => {
                return Err(Error::file(
                    file.display(),
                    format!("line {line}: expected sentence, sentence, score; found {}", fields.join(",")),
                ));
            }
        }
    }
    let inputs = texts.iter().map(|text| to_input(text)).collect::<Result<Vec<_>>>()?;
    // Texts of a like length share a pass.
    let mut order: Vec<usize> = (0..inputs.len()).collect();
    order.sort_by_key(|&i| inputs[i].ids.len());
    let sorted: Vec<EncoderInput> = order.iter().map(|&i| inputs[i].clone()).collect();
    let start = Instant::now();
    let mut vectors = vec![Vec::new(); inputs.len()];
    for (places, batch) in order.chunks(64).zip(sorted.chunks(64)) {
        for (&place, encoded) in places.iter().zip(encoder.encode(batch)?) {
            vectors[place] = encoded.pool(pooling, true);
        }
    }
    let per_second = inputs.len() as f64 / start.elapsed().as_secs_f64();
    let cosines: Vec<f64> = vectors.chunks_exact(2).map(|pair| cosine(&pair[0], &pair[1])).collect();
    let spearman = pearson(&ranks(&cosines), &ranks(&scores));
    if as_json {
        common::print_json(
            &json!({ "pairs": scores.len(), "spearman": spearman, "sentences_per_second": per_second }),
        )?;
    } else {
        common::print_line(&format!(
            "{} pairs  Spearman {spearman:.4}  {per_second:.1} sentences/s",
            scores.len()
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Ranks from 1, the mean rank for equal values.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    while start < order.len() {
        let same = order[start..].iter().take_while(|&&i| values[i] == values[order[start]]).count();
        for &i in &order[start..start + same] {
            ranks[i] = start as f64 + (same as f64 + 1.0) / 2.0;
        }
        start += same;
    }
    ranks
}

fn pearson(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len().max(1) as f64;
    let (mean_a, mean_b) = (a.iter().sum::<f64>() / n, b.iter().sum::<f64>() / n);
    let dot = |x: &[f64], mx: f64, y: &[f64], my: f64| {
        x.iter().zip(y).map(|(x, y)| (x - mx) * (y - my)).sum::<f64>()
    };
    dot(a, mean_a, b, mean_b) / (dot(a, mean_a, a, mean_a) * dot(b, mean_b, b, mean_b)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_of_equal_values_are_shared() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), [3.5, 1.0, 3.5, 2.0]);
    }
}
