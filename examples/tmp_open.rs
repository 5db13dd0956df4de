use aquatint::{tensor::format, weights::Weights};
use std::time::Instant;
fn main() {
    for path in std::env::args().skip(1) {
        let t = Instant::now();
        match Weights::open(&path) {
            Err(e) => println!("ERR {e}"),
            Ok(w) => {
                println!(
                    "{w:?} {:.1} MB keys {} ignored {:?} open {:?}",
                    w.total_bytes() as f64 / 1e6,
                    w.metadata().len(),
                    w.ignored().len(),
                    t.elapsed()
                );
                let t = Instant::now();
                let (mut words, mut worst) = (0usize, 0);
                let mut names = std::collections::BTreeMap::new();
                for x in w.tensors() {
                    *names.entry(x.format.name).or_insert(0) += 1;
                    let n = x.shape.n_rows();
                    let p = format::pack_rows(x.format, |i| w.row(x, i), 0..n, x.shape.n_columns()).unwrap();
                    words += p.iter().map(Vec::len).sum::<usize>();
                    if n * x.shape.n_columns() < 2_000_000 {
                        let r: Vec<&[u32]> = p.iter().map(|p| &p[..]).collect();
                        let got = format::unpack(x.format, &r, n, x.shape.n_columns());
                        let mut want = vec![0.0; got.len()];
                        x.format.dequantise_row(w.bytes(x), &mut want);
                        worst += got
                            .iter()
                            .zip(&want)
                            .filter(|(a, b)| a.to_bits() != b.to_bits() && !(**a == 0.0 && **b == 0.0))
                            .count();
                    }
                }
                println!(
                    "   {names:?} packed {:.1} MB in {:?}, differing {worst}",
                    words as f64 * 4e-6,
                    t.elapsed()
                );
            }
        }
    }
}
