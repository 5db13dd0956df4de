//! The likelihood of a text by a model that fills masks.

use super::{Encoder, EncoderInput};
use crate::error::Result;

impl Encoder {
    /// The log-likelihood of each token at `places`, each masked in turn with all others in sight; their sum
    /// is the text's pseudo-log-likelihood. Source: Salazar et al. 2020, arXiv:1910.14659.
    ///
    /// The model must have a head that fills masks; `mask` is the token that stands for one.
    pub fn masked_log_likelihoods(&mut self, ids: &[u32], places: &[usize], mask: u32) -> Result<Vec<f64>> {
        let masked = |&place: &usize| {
            let mut input =
                EncoderInput { ids: ids.to_vec(), wanted: vec![place], ..EncoderInput::default() };
            input.ids[place] = mask;
            input
        };
        let inputs: Vec<EncoderInput> = places.iter().map(masked).collect();
        let encoded = self.encode(&inputs)?;
        let rows = encoded.iter().zip(places);
        Ok(rows.map(|(encoded, &place)| log_probability(&encoded.logits[0], ids[place])).collect())
    }
}

fn log_probability(logits: &[f32], id: u32) -> f64 {
    let largest = logits.iter().fold(f64::NEG_INFINITY, |m, &v| m.max(f64::from(v)));
    let total: f64 = logits.iter().map(|&v| (f64::from(v) - largest).exp()).sum();
    f64::from(logits[id as usize]) - largest - total.ln()
}
