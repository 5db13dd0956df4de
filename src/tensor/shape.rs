//! The extents of a tensor, row-major: the last dimension is contiguous.

use std::fmt;

/// Written `(n_rows, n_columns)` in messages and documentation.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Shape(Vec<usize>);

impl Shape {
    pub fn new(dims: impl Into<Vec<usize>>) -> Shape {
        Shape(dims.into())
    }

    pub fn dims(&self) -> &[usize] {
        &self.0
    }

    /// The number of elements, or `None` where it overflows.
    pub fn n_elements(&self) -> Option<usize> {
        self.0.iter().try_fold(1usize, |n, &d| n.checked_mul(d))
    }

    /// The contiguous dimension; 1 for a scalar.
    pub fn n_columns(&self) -> usize {
        self.0.last().copied().unwrap_or(1)
    }

    /// The product of all dimensions but the last; the largest number there is where it overflows, so
    /// that the shape of an untrusted file can be asked.
    pub fn n_rows(&self) -> usize {
        self.0.iter().rev().skip(1).fold(1, |n, &d| n.saturating_mul(d))
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(dims: [usize; N]) -> Shape {
        Shape(dims.to_vec())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(")?;
        for (i, dim) in self.0.iter().enumerate() {
            write!(f, "{}{dim}", if i == 0 { "" } else { ", " })?;
        }
        write!(f, ")")
    }
}
