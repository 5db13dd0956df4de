//! The matrix products of a model by shape, for choosing how to compute them.

use super::decoder::Decoder;
use super::load::Model;
use super::tensors::{Ffn, NormWeights, OutputHead};
use crate::graph::PackedWeight;
use crate::kernels::{Product, ProductKind};

/// Weights of one shape that are measured together: enough that no cache holds all of them.
const WEIGHTS_MAX: usize = 4;

/// Each shape of product that a pass over `model` has, once.
pub fn products(model: &Model) -> Vec<Product> {
    let d = &model.decoder;
    let mut products = Vec::new();
    for layer in model.tensors.layers().take(WEIGHTS_MAX) {
        for (part, _) in &layer.qkv {
            add(&mut products, ProductKind::Store, &part.weight, false);
        }
        let added = added_at_once(layer.post_attention_norm.as_ref());
        add(&mut products, added, &layer.attention_output.weight, false);
        let added = added_at_once(layer.post_ffn_norm.as_ref());
        match &layer.ffn {
            Ffn::Gated { gate_up, down } => {
                let gated = ProductKind::Gated(d.feed_forward.activation());
                add(&mut products, gated, &gate_up.weight, false);
                add(&mut products, added, &down.weight, false);
            }
            Ffn::GatedApart { gate, up, down } => {
                add(&mut products, ProductKind::Store, &gate.weight, false);
                add(&mut products, ProductKind::Store, &up.weight, false);
                add(&mut products, added, &down.weight, false);
            }
            Ffn::Plain { up, down } => {
                add(&mut products, activated(d), &up.weight, false);
                add(&mut products, added, &down.weight, false);
            }
            // Other kernels compute these.
            Ffn::Experts { .. } => {}
        }
    }
    if let OutputHead::Next(head) = &model.tensors.head {
        add(&mut products, ProductKind::Store, &head.weight, true);
    }
    products
}

/// A product is added to its residual as it is stored, unless it is normalised first.
fn added_at_once(norm: Option<&NormWeights>) -> ProductKind {
    if norm.is_some() { ProductKind::Store } else { ProductKind::Residual }
}

fn activated(d: &Decoder) -> ProductKind {
    ProductKind::Activate(d.feed_forward.activation())
}

fn add(products: &mut Vec<Product>, kind: ProductKind, weight: &PackedWeight, is_head: bool) {
    let shape = |w: &PackedWeight| (w.format.name, w.n_rows, w.n_columns);
    let same = |product: &&mut Product| {
        product.kind == kind && product.is_head == is_head && shape(&product.weights[0]) == shape(weight)
    };
    match products.iter_mut().find(same) {
        Some(product) if product.weights.len() < WEIGHTS_MAX => product.weights.push(weight.clone()),
        Some(_) => {}
        None => products.push(Product { kind, weights: vec![weight.clone()], is_head }),
    }
}
