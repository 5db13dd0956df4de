//! How a matrix product by `shaders/matvec.wgsl` is cut into clusters of 8 lanes.

use super::roles;
use crate::gpu::Caps;
use crate::tensor::Format;

/// A way to cut a product.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Shape {
    /// Groups of 4 rows per cluster.
    pub groups: u32,
    /// Tokens per cluster.
    pub cols: u32,
    /// Clusters per workgroup.
    pub clusters: u32,
    pub cluster: &'static str,
}

/// Vectors that a lane may keep: the linker writes out loops of no more rounds.
const KEPT_MAX: u32 = 64;

impl Shape {
    /// Whether lanes add up what they multiply at once: those that are one vector exchange values for less
    /// than it costs to keep many.
    pub fn at_once(&self, caps: &Caps) -> bool {
        caps.software() && self.groups >= 4 && self.cluster == "shuffle"
    }

    /// The file that plays `rows`. Lanes that add up at once take the rows as they lie in memory, pair after
    /// pair: 4 rows, but from 8 tokens on 2, since a loop of 4 is twice the code.
    pub fn rows(&self, caps: &Caps) -> &'static str {
        match self.at_once(caps) {
            true if self.cols <= 4 && self.groups.is_multiple_of(8) => "across",
            true => "two",
            false => "four",
        }
    }

    /// Groups of which a cluster takes rows at once.
    pub fn abreast(&self, caps: &Caps) -> u32 {
        if self.rows(caps) == "across" { 2 } else { 1 }
    }

    /// Parts in which a cluster takes the 4 rows of its groups.
    pub fn parts(&self, caps: &Caps) -> u32 {
        if self.rows(caps) == "four" { 1 } else { 2 }
    }

    /// Tokens in a lane's vectors of the same groups, where lanes add up at once.
    pub fn half(&self) -> u32 {
        (self.cols / 2).max(1)
    }

    /// Vectors of the sums of a part's rows and a token that a lane keeps.
    pub fn kept(&self, caps: &Caps) -> u32 {
        let groups = self.groups / self.abreast(caps);
        if self.at_once(caps) { groups / 4 * self.half() } else { groups * self.cols }
    }

    /// Whether the device can run it at all.
    pub fn fits(&self, caps: &Caps) -> bool {
        self.parts(caps) * self.kept(caps) <= KEPT_MAX && 8 * self.clusters <= caps.workgroup_lanes_max
    }

    /// Names the shape for weights in `format`.
    pub fn variant(&self, format: &Format) -> String {
        let Shape { groups, cols, clusters, cluster } = self;
        format!("matvec {} {groups} groups x {cols} tokens x {clusters} clusters {cluster}", format.name)
    }

    /// Tokens and rows of a product that the shape does not divide.
    pub fn awkward_size(&self) -> (usize, usize) {
        (self.cols as usize + 1, 4 * (self.groups * self.clusters + 1) as usize)
    }
}

/// The table of shapes by kind of device and numbers of rows and tokens.
fn choose(caps: &Caps, n_rows: usize, n_tokens: usize) -> Shape {
    let cluster = roles::cluster(caps);
    match (caps.software(), n_tokens) {
        // Loads cost most there: many rows share each activation, whole bands of 8 groups.
        (true, 1) => Shape { groups: 8, cols: 1, clusters: 1, cluster },
        (true, 2) => Shape { groups: 8, cols: 2, clusters: 1, cluster },
        (true, _) => {
            let shape = Shape { groups: 8, cols: if n_tokens <= 4 { 4 } else { 8 }, clusters: 1, cluster };
            // Two bands to a cluster, where each thread has enough of them.
            let wide = Shape { groups: 16, ..shape };
            let many = n_rows / 64 * n_tokens.div_ceil(8) >= 16 * caps.threads as usize;
            if many && wide.fits(caps) { wide } else { shape }
        }
        (false, 1) => Shape { groups: 1, cols: 1, clusters: 8, cluster },
        (false, 2) => Shape { groups: 1, cols: 2, clusters: 8, cluster },
        (false, 3 | 4) => Shape { groups: 1, cols: 4, clusters: 8, cluster },
        (false, _) => Shape { groups: 1, cols: 8, clusters: 8, cluster },
    }
}

/// The shapes worth measuring for a number of rows and tokens, the table's first. All sum in the same order:
/// what varies is how many rows and tokens share a cluster, never how a row is cut.
pub(super) fn candidates(caps: &Caps, n_rows: usize, n_tokens: usize) -> Vec<Shape> {
    let table = choose(caps, n_rows, n_tokens);
    let sizes: &[(u32, u32, u32)] = match (caps.software(), n_tokens) {
        // From 4 groups on lanes are added up at once, in one order.
        (true, 1) => &[(4, 1, 2), (4, 1, 4), (8, 1, 1), (16, 1, 1)],
        (true, 2) => &[(4, 2, 1), (8, 2, 1), (16, 2, 1)],
        (true, _) => &[(8, 2, 1), (4, 4, 1), (8, 4, 1), (16, 4, 1), (4, 8, 1), (8, 8, 1), (16, 8, 1)],
        (false, 1) => &[(1, 1, 4), (1, 1, 16), (2, 1, 4), (2, 1, 8), (4, 1, 8)],
        (false, 2) => &[(1, 2, 4), (1, 2, 16), (2, 2, 8)],
        (false, 3 | 4) => &[(1, 4, 4), (1, 4, 16), (2, 4, 4), (2, 4, 8)],
        (false, _) => &[(1, 8, 4), (1, 8, 16), (2, 8, 4), (2, 8, 8), (2, 4, 8)],
    };
    let others = sizes.iter().map(|&(groups, cols, clusters)| Shape { groups, cols, clusters, ..table });
    let others = others.filter(|shape| *shape != table && shape.fits(caps));
    [table].into_iter().chain(others).collect()
}
