//! `aquatint vectors plot`: words in the plane of their two largest principal components.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::common::{self, DeviceArgs};
use super::nearest::{Named, mean};
use super::plot;
use crate::error::{Error, Result};

/// Draws words of a file of vectors, or tokens of a model's embedding, so that related ones are seen to lie
/// together.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  aquatint vectors plot vectors.bin king queen man woman paris london france england -o words.svg
  aquatint vectors plot vectors.bin water music --near 8 -o words.html
  aquatint vectors plot smollm2-135m one two three cat dog horse -o tokens.html

JSON: {output, shares: [of the variance along x, along y], points: [{label, x, y}]}")]
pub struct Plot {
    /// A file of word vectors, or a model by name or path.
    file: String,
    #[arg(required = true)]
    words: Vec<String>,
    /// Also the K nearest of each word.
    #[arg(long, default_value_t = 0, value_name = "K")]
    near: usize,
    /// The picture, .svg or .html.
    #[arg(long, short = 'o', value_name = "FILE")]
    output: PathBuf,
}

impl Plot {
    pub fn run(&self, device: &DeviceArgs, json: bool) -> Result<ExitCode> {
        let (names, table) = Named::open(&self.file, device, self.words.iter())?;
        let (mut labels, mut vectors): (Vec<String>, Vec<Vec<f32>>) = (Vec::new(), Vec::new());
        let mut taken = Vec::new();
        let mut add = |label: String, ids: Vec<u32>, vector: Vec<f32>| {
            if !taken.contains(&ids) {
                taken.push(ids);
                labels.push(label);
                vectors.push(vector);
            }
        };
        let mut near = Vec::new();
        for word in &self.words {
            let ids = names.find(word)?;
            let vector = mean(&table.rows(&ids)?);
            if self.near > 0 {
                let wanted = (self.near + ids.len()).min(table.n_rows());
                let found = table.nearest(&vector, wanted)?.into_iter().map(|(row, _)| row as u32);
                near.extend(found.filter(|row| !ids.contains(row)).take(self.near));
            }
            add(word.clone(), ids, vector);
        }
        for (row, vector) in near.iter().zip(table.rows(&near)?) {
            add(names.name(*row as usize).trim().to_owned(), vec![*row], vector);
        }
        if labels.len() < 3 {
            return Err(Error::Input(format!(
                "a plot needs 3 words or more, found {}; --near 10 adds the nearest",
                labels.len()
            )));
        }
        let title =
            format!("{} words of {}", labels.len(), self.file.rsplit('/').next().unwrap_or(&self.file));
        let drawn = plot::draw(&title, &labels, &vectors, &self.output)?;
        match json {
            true => common::print_json(&drawn)?,
            false => eprintln!("wrote {}", self.output.display()),
        }
        Ok(ExitCode::SUCCESS)
    }
}
