//! Pictures of vectors: in the plane of their two largest principal components.

use std::path::Path;

use serde_json::{Value, json};

use super::common;
use crate::engine::cosine;
use crate::error::{Error, Result};
use crate::vectors::{Plot, Point, plane};

/// Vectors in one picture at most.
const POINTS_MAX: usize = 2000;

/// The least cosine of vectors that a line joins.
const NEAR: f64 = 0.25;

/// Draws named vectors into an SVG or HTML file, each joined to its nearest by a line.
///
/// Fails with fewer than three different vectors, which have no plane.
pub fn draw(title: &str, labels: &[String], vectors: &[Vec<f32>], output: &Path) -> Result<Value> {
    let extension = output.extension().and_then(|e| e.to_str()).unwrap_or("");
    if !["svg", "html"].contains(&extension) {
        return Err(Error::Input(format!(
            "{}: expected a file name that ends in .svg or .html",
            output.display()
        )));
    }
    if vectors.len() < 3 || vectors.len() > POINTS_MAX {
        return Err(Error::Input(format!("a plot needs 3 to {POINTS_MAX} vectors, found {}", vectors.len())));
    }
    // Directions are what is compared, so lengths do not spread the picture.
    let unit = |vector: &Vec<f32>| -> Vec<f32> {
        let length = vector.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt().max(1e-30);
        vector.iter().map(|&v| (f64::from(v) / length) as f32).collect()
    };
    let rows: Vec<Vec<f32>> = vectors.iter().map(unit).collect();
    let plane = plane(&rows);
    let mut lines = Vec::new();
    let mut points = Vec::new();
    for (i, label) in labels.iter().enumerate() {
        let mut near: Vec<(f64, usize)> =
            (0..rows.len()).filter(|&j| j != i).map(|j| (cosine(&rows[i], &rows[j]), j)).collect();
        near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let listed = near.iter().take(4).map(|(c, j)| format!("\n{c:.3}  {}", labels[*j]));
        points.push(Point {
            label: label.clone(),
            details: format!("{label}{}", listed.collect::<String>()),
            at: plane.points[i],
        });
        let pair = (i.min(near[0].1), i.max(near[0].1));
        if near[0].0 >= NEAR && !lines.contains(&pair) {
            lines.push(pair);
        }
    }
    let axis = |i: usize| format!("component {}: {:.1} % of the variance", i + 1, 100.0 * plane.shares[i]);
    let plot = Plot {
        title: title.to_owned(),
        note:
            "A line joins each to its nearest by cosine in all dimensions; hovering shows the nearest four."
                .into(),
        points,
        lines,
        axes: [axis(0), axis(1)],
    };
    let text = if extension == "svg" { plot.svg() } else { plot.html() };
    common::write_whole(output, text.as_bytes())?;
    let listed = labels.iter().zip(&plane.points).map(|(l, p)| json!({ "label": l, "x": p[0], "y": p[1] }));
    Ok(json!({ "output": output, "shares": plane.shares, "points": listed.collect::<Vec<_>>() }))
}
