//! Word vectors: gradients, training, files beside gensim's, tests counted as gensim counts them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use aquatint::gpu::{Gpu, Options};
use aquatint::kernels::tiles::{Packer, Tile, TileShape};
use aquatint::kernels::{Values, cbow_tile, skip_gram_tile};
use aquatint::vectors::{
    Checkpoint, Corpus, CorpusReader, EvaluateOptions, FileFormat, Objective, Sentences, Split, TrainOptions,
    Trainer, VectorTable, WordVectors, evaluate_analogies, evaluate_pairs, is_analogies,
};

/// A file in `tests/data`.
fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn gpu() -> Gpu {
    Gpu::open(&Options::default()).expect("tests need an adapter; a software driver will do")
}

/// An own folder for each test.
fn folder(test: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("aquatint-vectors-{test}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

const N_WORDS: usize = 9;
const PITCH: usize = 8;

fn shape(objective: Objective) -> TileShape {
    let n_centres = if objective == Objective::Cbow { 8 } else { 4 };
    TileShape { objective, n_centres, n_negatives: 4, window: 2, n_tiles: 1, clusters: 1, pitch: PITCH }
}

/// A tile in which words repeat, negatives repeat and one negative is a centre.
fn tile() -> Tile {
    Tile {
        centres: vec![0, 3, 1, 3],
        negatives: vec![5, 3, 5, 8],
        inputs: vec![(2, 0b0011), (0, 0b0110), (3, 0b1101), (1, 0b1010), (3, 0b0111), (7, 0b1100)],
    }
}

/// Numbers without a pattern in -1..1.
fn numbers(n: usize, seed: u64) -> Vec<f64> {
    (0..n as u64).map(|i| ((i * 7919 + seed * 104_729 + 13) as f64 * 12.9898).sin()).collect()
}

/// The loss of a tile and what each word's row became, copies in slots added up as `merge_rows` does.
fn run(shape: &TileShape, words: &[u32], inputs: &[f64], outputs: &[f64]) -> (f64, Vec<f64>, Vec<f64>) {
    let old = [(inputs, shape.input_slots()), (outputs, shape.output_slots())].map(|(values, slots)| {
        let mut values = values.to_vec();
        values.resize((N_WORDS + slots) * PITCH, 0.0);
        Values::new(values)
    });
    let mut new = old.clone();
    let [new_inputs, new_outputs] = &mut new;
    let old_both = (&old[0], &old[1]);
    let (loss, _) = match shape.objective {
        Objective::SkipGram => skip_gram_tile(shape, 5.0, words, old_both, (new_inputs, new_outputs)),
        Objective::Cbow => cbow_tile(shape, 5.0, words, old_both, (new_inputs, new_outputs)),
    };
    let merged =
        [shape.input_segments(), shape.output_segments()].into_iter().zip(new).map(|(first, new)| {
            let mut rows = new.values[..N_WORDS * PITCH].to_vec();
            for segment in words[first + 1..].chunks_exact(3).take(words[first] as usize) {
                let [row, slot, n] = [segment[0], segment[1], segment[2]].map(|v| v as usize);
                for c in 0..PITCH {
                    let old = rows[row * PITCH + c];
                    rows[row * PITCH + c] +=
                        (slot..slot + n).map(|s| new.values[s * PITCH + c] - old).sum::<f64>();
                }
            }
            rows
        });
    let mut merged = merged.collect::<Vec<_>>().into_iter();
    (loss, merged.next().expect("inputs"), merged.next().expect("outputs"))
}

fn packed(shape: &TileShape, rate: f32) -> Vec<u32> {
    let mut words = vec![0; shape.batch()];
    Packer::new(*shape, N_WORDS).pack(&[tile()], rate, &mut words);
    words
}

#[test]
fn gradients_are_the_finite_differences_of_the_loss() {
    const RATE: f32 = 1.0 / 1_048_576.0;
    const H: f64 = 1e-4;
    for objective in [Objective::SkipGram, Objective::Cbow] {
        let shape = shape(objective);
        let (mut still, mut step) = (packed(&shape, 0.0), packed(&shape, RATE));
        if objective == Objective::Cbow {
            // With sums instead of means the inputs, which take the mean's gradient whole, follow the loss.
            for words in [&mut still, &mut step] {
                words[2..6].iter_mut().for_each(|share| *share = 1f32.to_bits());
            }
        }
        let x = [numbers(N_WORDS * PITCH, 1), numbers(N_WORDS * PITCH, 2)];
        let (loss, inputs, outputs) = run(&shape, &step, &x[0], &x[1]);
        assert!(loss > 1.0, "{loss}");
        let moved = [inputs, outputs];
        let mut n_moved = 0;
        for side in 0..2 {
            for i in 0..N_WORDS * PITCH {
                let at = |h: f64| {
                    let mut x = x.clone();
                    x[side][i] += h;
                    run(&shape, &still, &x[0], &x[1]).0
                };
                let expected = -(at(H) - at(-H)) / (2.0 * H);
                let found = (moved[side][i] - x[side][i]) / f64::from(RATE);
                assert!(
                    (found - expected).abs() < 1e-4 * (1.0 + expected.abs()),
                    "{objective:?}, side {side}, word {}, element {}: moved by {found}, the loss falls by {expected}",
                    i / PITCH,
                    i % PITCH
                );
                n_moved += usize::from(found.abs() > 1e-3);
            }
        }
        // 5 words are inputs and 5 are outputs, and only these move.
        assert!((70..=80).contains(&n_moved), "{n_moved} numbers moved");
    }
}

#[test]
fn no_two_tiles_write_one_row() {
    let shape = TileShape { n_tiles: 3, ..shape(Objective::SkipGram) };
    let mut words = vec![0; shape.batch()];
    let mut other = tile();
    other.inputs[5].0 = 6;
    Packer::new(shape, N_WORDS).pack(&[tile(), other], 0.1, &mut words);
    let mut inputs: HashMap<u32, usize> = HashMap::new();
    let mut outputs: HashMap<u32, usize> = HashMap::new();
    for record in words[..shape.input_segments()].chunks_exact(shape.record()) {
        for entry in record[shape.first_output()..shape.first_input()].chunks_exact(3) {
            *outputs.entry(entry[1]).or_default() += 1;
        }
        for entry in record[shape.first_input()..].chunks_exact(3).take(record[0] as usize) {
            *inputs.entry(entry[1]).or_default() += 1;
        }
    }
    assert!(inputs.values().chain(outputs.values()).all(|n| *n == 1), "{inputs:?} {outputs:?}");
    // Words 7 and 6 are inputs of one tile only, and stay where they are.
    assert!(inputs.contains_key(&7) && inputs.contains_key(&6) && !inputs.contains_key(&3));
}

/// Sentences of 12 words, each about one of 8 topics with 12 words of its own.
fn topics(n_sentences: usize) -> Corpus {
    let mut reader = CorpusReader::new(Split::Spaces, Sentences::Lines);
    let mut state = 12345u64;
    let mut random = |n: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    let mut text = String::new();
    for _ in 0..n_sentences {
        let topic = random(8);
        for _ in 0..12 {
            let word = if random(4) == 0 {
                format!("any{} ", random(6))
            } else {
                format!("t{topic}w{} ", random(12))
            };
            text.push_str(&word);
        }
        text.push('\n');
    }
    reader.add(&text);
    reader.finish(1).expect("words")
}

fn options(objective: Objective) -> TrainOptions {
    TrainOptions { objective, dimensions: 16, window: 4, epochs: 3, sample: 0.0, ..TrainOptions::default() }
}

fn finish(trainer: &mut Trainer) -> (f64, f64, WordVectors) {
    let mut losses = Vec::new();
    while let Some(progress) = trainer.step().expect("a step") {
        if progress.loss.is_finite() {
            losses.push(progress.loss);
        }
    }
    (losses[0], *losses.last().expect("losses"), trainer.vectors().expect("vectors"))
}

#[test]
fn words_of_one_topic_come_to_lie_together() {
    let gpu = gpu();
    for objective in [Objective::SkipGram, Objective::Cbow] {
        let mut trainer = Trainer::new(&gpu, topics(6000), options(objective)).expect("a trainer");
        let (first, last, vectors) = finish(&mut trainer);
        assert!(last < first - 0.2, "{objective:?}: the loss went from {first} to {last}");
        let mut table = VectorTable::new(&gpu, vectors).expect("a table");
        let mut same = 0;
        for i in 0..96 {
            let (topic, word) = (format!("t{}w", i / 12), format!("t{}w{}", i / 12, i % 12));
            let nearest = table.nearest(&[&word], &[], 5).expect("known");
            same += nearest.iter().filter(|(word, _)| word.starts_with(&topic)).count();
        }
        assert!(same > 96 * 5 * 9 / 10, "{objective:?}: {same} of 480 neighbours share the topic");
    }
}

#[test]
fn training_repeats_itself_and_goes_on_where_it_stopped() {
    let gpu = gpu();
    let folder = folder("resume");
    for objective in [Objective::SkipGram, Objective::Cbow] {
        let corpus = topics(3200);
        let mut whole = Trainer::new(&gpu, corpus.clone(), options(objective)).expect("a trainer");
        let (_, _, expected) = finish(&mut whole);
        let mut half = Trainer::new(&gpu, corpus.clone(), options(objective)).expect("a trainer");
        for _ in 0..3 {
            half.step().expect("a step").expect("there is more");
        }
        assert!((0.3..0.9).contains(&half.progress().fraction));
        let file = folder.join("stopped");
        half.save(&file).expect("saved");
        let checkpoint = Checkpoint::read(&file).expect("read");
        assert_eq!(checkpoint.options, options(objective));
        let mut rest = checkpoint.clone().resume(&gpu, corpus.clone()).expect("the same text");
        let (_, _, found) = finish(&mut rest);
        assert!(found == expected, "{objective:?}: the stopped training came to other vectors");
        let other = checkpoint.resume(&gpu, topics(3100)).err().expect("another text").to_string();
        assert!(other.contains("not the one that the training began with"), "{other}");
        let seed = TrainOptions { seed: 2, ..options(objective) };
        let (_, _, other) = finish(&mut Trainer::new(&gpu, corpus, seed).expect("a trainer"));
        assert!(other != expected, "another seed gives other vectors");
    }
    std::fs::write(folder.join("broken"), b"not a checkpoint").expect("written");
    assert!(Checkpoint::read(&folder.join("broken")).is_err());
    std::fs::remove_dir_all(folder).expect("removed");
}

#[test]
fn two_words_are_enough() {
    let gpu = gpu();
    let mut reader = CorpusReader::new(Split::Words, Sentences::Lines);
    reader.add(&"a b b a\n".repeat(500));
    let corpus = reader.finish(1).expect("words");
    let (_, last, vectors) =
        finish(&mut Trainer::new(&gpu, corpus, options(Objective::SkipGram)).expect("a trainer"));
    assert!(last.is_finite() && vectors.values.iter().all(|v| v.abs() < 100.0), "{last}");
}

#[test]
fn options_out_of_range_are_named() {
    let refused = |change: fn(&mut TrainOptions)| {
        let mut options = TrainOptions::default();
        change(&mut options);
        options.check().expect_err("out of range").to_string()
    };
    assert!(refused(|o| o.dimensions = 0).contains("--dim"));
    assert!(refused(|o| o.window = 1000).contains("--window"));
    assert!(refused(|o| o.rate = f64::NAN).contains("--rate"));
    assert!(refused(|o| o.rate_min = 1.0).contains("--rate-min"));
    assert!(refused(|o| o.epochs = 0).contains("--epochs"));
}

#[test]
fn files_are_those_of_gensim_byte_for_byte() {
    let folder = folder("files");
    let files = [
        ("gensim.txt", FileFormat::Word2vecText),
        ("gensim.bin", FileFormat::Word2vecBinary),
        ("gensim.glove.txt", FileFormat::GloveText),
    ];
    for (from, _) in files {
        let vectors = WordVectors::read(data("vectors").join(from)).expect("valid");
        assert_eq!(vectors.words[1], "König");
        assert_eq!(vectors.vector(1)[5].to_bits(), (-0.0f32).to_bits());
        for (to, format) in files {
            let path = folder.join(to);
            vectors.write(&path, format).expect("written");
            let (found, expected) = (read(&path), read(&data("vectors").join(to)));
            assert!(found == expected, "{from} written as {to}: {}", String::from_utf8_lossy(&found));
        }
    }
    let spaced = WordVectors { words: vec!["new york".into()], dimensions: 1, values: vec![1.0] };
    let path = folder.join("spaced.txt");
    let error = spaced.write(&path, FileFormat::Word2vecText).expect_err("a space").to_string();
    assert!(error.contains("new york") && !path.exists(), "{error}");
    std::fs::remove_dir_all(folder).expect("removed");
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).expect("the file is there")
}

#[test]
fn malformed_files_are_refused_with_the_place() {
    let folder = folder("malformed");
    let mut truncated = read(&data("vectors").join("gensim.bin"));
    truncated.truncate(truncated.len() - 3);
    let long_line = vec![b'x'; 10 << 20];
    let cases: &[(&[u8], &str)] = &[
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"2 3\na 1 2 3\nb 10.25 20.5\n", "line 3: expected a word and 3 numbers"),
        (b"a 1 2 3\nb 1 2 3 x\n", "line 2: expected a number, found \"x\""),
        (b"1 2\na 1 nan\n", "that is nan"),
        (b"a 1 inf\n", "that is inf"),
        (b"3 2\na 1 2\nb 3 4\n", "promises 3 words"),
        (b"0 5\n", "0 words of 5 dimensions"),
        (b"7 0\n", "7 words of 0 dimensions"),
        (b"word\n", "found 0 numbers"),
        (b"\xff\xfe\x00\x01", "is no text"),
        (&truncated, "word 8 of 8: the file ends inside its vector"),
        (&long_line, "found 0 numbers"),
    ];
    for (bytes, expected) in cases {
        let path = folder.join("file");
        std::fs::write(&path, bytes).expect("written");
        let error = WordVectors::read(&path).expect_err("malformed").to_string();
        assert!(error.contains(expected), "expected {expected:?}: {}", &error[..error.len().min(300)]);
    }
    std::fs::remove_dir_all(folder).expect("removed");
}

fn small() -> VectorTable {
    let vectors = WordVectors::read(data("vectors/small.txt")).expect("valid");
    VectorTable::new(&gpu(), vectors).expect("a table")
}

#[test]
fn tests_are_counted_as_gensim_counts_them() {
    let mut table = small();
    let text = |name: &str| String::from_utf8(read(&data("vectors").join(name))).expect("text");
    let (analogies, pairs) = (text("analogies.txt"), text("pairs.tsv"));
    assert!(is_analogies(&analogies) && !is_analogies(&pairs));
    let expected: serde_json::Value = serde_json::from_str(&text("gensim.json")).expect("JSON");
    for case in expected.as_array().expect("a list") {
        let options = EvaluateOptions {
            restrict_vocab: case["restrict_vocab"].as_u64().expect("a number") as usize,
            ignore_case: case["ignore_case"] == true,
            unknown_is_wrong: case["unknown_is_wrong"] == true,
            ..EvaluateOptions::default()
        };
        let found =
            evaluate_analogies(&mut table, &analogies, "analogies", &options, |_, _| ()).expect("asked");
        let sections = found.sections.iter().chain([&found.total]);
        let sections: Vec<_> = sections.map(|s| serde_json::json!([s.name, s.n_right, s.n])).collect();
        assert_eq!(serde_json::Value::from(sections), case["sections"], "{options:?}");
        let found = evaluate_pairs(&table, &pairs, "pairs", &options).expect("pairs");
        for (name, found) in [
            ("pearson", [found.pearson.value, found.pearson.p]),
            ("spearman", [found.spearman.value, found.spearman.p]),
        ] {
            for (i, found) in found.into_iter().enumerate() {
                let expected = case[name][i].as_f64().expect("a number");
                // gensim's cosines are f32.
                assert!(
                    (found - expected).abs() < 1e-5,
                    "{name} {i}: {found}, gensim {expected}; {options:?}"
                );
            }
        }
        assert_eq!(found.unknown_percent, case["unknown_percent"].as_f64().expect("a number"));
    }
    let options = EvaluateOptions::default();
    let headless = evaluate_analogies(&mut table, "a b c d\n", "file", &options, |_, _| ());
    assert!(headless.expect_err("no section").to_string().contains("line 1"));
    let empty = evaluate_analogies(&mut table, ": section\n", "file", &options, |_, _| ());
    assert!(empty.expect_err("no questions").to_string().contains("no questions"));
    let unknown = evaluate_pairs(&table, "x\ty\t1\n", "file", &options);
    assert!(unknown.expect_err("no pair").to_string().contains("1 pairs have unknown words"));
}

#[test]
fn questions_are_answered_as_gensim_answers_them() {
    let mut table = small();
    let nearest = table.nearest(&["king", "woman"], &["man"], 3).expect("known");
    for ((word, cosine), (expected, gensim)) in
        nearest.iter().zip([("Norway", 0.858_325_8), ("PARIS", 0.853_895_7), ("princess", 0.732_414_6)])
    {
        assert!(
            *word == expected && (cosine - gensim).abs() < 1e-5,
            "{word} {cosine}, gensim {expected} {gensim}"
        );
    }
    let ranked = table.by_centrality(&["king", "queen", "prince", "cold"]).expect("known");
    let words: Vec<&str> = ranked.iter().map(|(word, _)| *word).collect();
    assert_eq!(words, ["prince", "king", "queen", "cold"]);
    assert!((ranked[3].1 - 0.693_217_75).abs() < 1e-5);
    let error = table.nearest(&["kingdom"], &[], 3).expect_err("unknown").to_string();
    assert!(error.contains("\"kingdom\" is not among the 28 words"), "{error}");
    assert!(table.nearest(&["king"], &[], 1000).expect_err("too many").to_string().contains("at most 128"));
    assert_eq!(table.nearest(&["king"], &[], 100).expect("all others").len(), 27);
}

#[test]
fn a_table_is_searched_whole_and_in_parts() {
    let n = 3000;
    let values: Vec<f32> = numbers(n * 12, 3).into_iter().map(|v| v as f32).collect();
    let words = (0..n).map(|i| format!("w{i}")).collect();
    let mut table = VectorTable::new(&gpu(), WordVectors { words, dimensions: 12, values }).expect("a table");
    let questions: Vec<_> = (0..70).map(|i| (vec![i * 41, i + 7], vec![i * 3 + 1])).collect();
    for n_words in [n, 1000, 5] {
        let found = table.search(&questions, n_words, 6).expect("found");
        for ((plus, minus), found) in questions.iter().zip(found) {
            let mean: Vec<f64> = (0..12)
                .map(|c| {
                    let sum =
                        |places: &[usize]| places.iter().map(|&i| f64::from(table.row(i)[c])).sum::<f64>();
                    sum(plus) - sum(minus)
                })
                .collect();
            let length = mean.iter().map(|v| v * v).sum::<f64>().sqrt();
            let cosine = |i: usize| {
                table.row(i).iter().zip(&mean).map(|(a, b)| f64::from(*a) * b).sum::<f64>() / length
            };
            let mut order: Vec<usize> =
                (0..n_words).filter(|i| !plus.contains(i) && !minus.contains(i)).collect();
            order.sort_by(|&a, &b| cosine(b).total_cmp(&cosine(a)));
            order.truncate(6);
            assert_eq!(found.len(), order.len());
            for ((i, value), expected) in found.iter().zip(order) {
                assert!((cosine(*i) - cosine(expected)).abs() < 1e-6, "{i} for {expected}");
                assert!((f64::from(*value) - cosine(*i)).abs() < 1e-5);
            }
        }
    }
}
