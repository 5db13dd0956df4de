//! Models against reference outputs.

mod common;

use safetensors::SafeTensors;

/// Errors above this share of the logits' standard deviation fail.
const ERROR_MAX: f64 = 2e-3;

fn integers(file: &SafeTensors, name: &str) -> Vec<u32> {
    let view = file.tensor(name).expect("the tensor is there");
    let width = view.data().len() / view.shape().iter().product::<usize>();
    view.data().chunks_exact(width).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

#[test]
fn every_fixture_matches_its_reference() {
    let gpu = common::gpu();
    let mut names: Vec<String> = std::fs::read_dir(common::data("models"))
        .expect("a folder of models")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert!(names.len() >= 28, "{names:?}");
    for name in names {
        let bytes =
            std::fs::read(common::data(&format!("models/{name}/golden.safetensors"))).expect("reference");
        let golden = SafeTensors::deserialize(&bytes).expect("safetensors");
        let shape = golden.tensor("logits").expect("logits").shape().to_vec();
        let (n_batch, n, n_vocab) = (shape[0], shape[1], shape[2]);
        let expected: Vec<f32> = golden
            .tensor("logits")
            .expect("logits")
            .data()
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect();
        let mean = expected.iter().map(|&v| f64::from(v)).sum::<f64>() / expected.len() as f64;
        let variance =
            expected.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / expected.len() as f64;

        let model = common::model(&gpu, &format!("models/{name}"));
        let mut engine = common::exact(&model, 128, 1);
        let ids = integers(&golden, "input_ids");
        let mut worst = 0.0f64;
        for batch in 0..n_batch {
            let rows = engine.logits(&ids[batch * n..(batch + 1) * n], n).expect("logits");
            assert_eq!(rows.len(), n);
            for (t, row) in rows.iter().enumerate() {
                let expected = &expected[(batch * n + t) * n_vocab..][..n_vocab];
                for (a, b) in row.iter().zip(expected) {
                    assert!(a.is_finite(), "{name}: {a}");
                    worst = worst.max(f64::from((a - b).abs()));
                }
            }
        }
        let relative = worst / variance.sqrt();
        eprintln!("{name}: {relative:.2e} of the standard deviation");
        assert!(relative < ERROR_MAX, "{name}: {relative:.2e}");

        let (prompt, greedy) = (integers(&golden, "prompt_ids"), integers(&golden, "greedy_ids"));
        let options = aquatint::engine::GenerateOptions {
            max_tokens: greedy.len() - prompt.len(),
            ignore_end: true,
            ..Default::default()
        };
        let found = engine.generate_ids(&prompt, &options).expect("a continuation");
        assert_eq!(found, greedy[prompt.len()..], "{name}");
    }
}

/// The likeliest column of each row.
fn choices(rows: &[Vec<f32>]) -> Vec<u32> {
    let best = |row: &Vec<f32>| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b]));
    rows.iter().map(|row| best(row).expect("a row") as u32).collect()
}

/// Cached decoding chooses what one pass over the whole text chooses, and prompts of different lengths
/// together get what each gets alone.
fn check_batches(name: &str, gpu: &aquatint::gpu::Gpu) {
    use aquatint::engine::{Event, GenerateOptions, Request};
    let model = common::model(gpu, name);
    let mut engine = common::exact(&model, 128, 3);
    let n_vocab = model.decoder.n_vocab as u32;
    let prompts: Vec<Vec<u32>> =
        [7, 40, 71].iter().map(|&n| (0..n).map(|i| 3 + (i * 29 + n) % (n_vocab - 3)).collect()).collect();
    let mut alone = Vec::new();
    for prompt in &prompts {
        let options = GenerateOptions { max_tokens: 40, ignore_end: true, ..Default::default() };
        let ids = engine.generate_ids(prompt, &options).expect("an answer");
        let rows = match model.decoder.start_id {
            Some(start) => {
                let written: Vec<u32> = [start].into_iter().chain(ids.iter().copied()).collect();
                engine.logits_after(prompt, &written[..40], 40)
            }
            None => {
                let all = [&prompt[..], &ids[..39]].concat();
                engine.logits(&all, 40)
            }
        };
        assert_eq!(choices(&rows.expect("logits")), ids, "{name}");
        alone.push(ids);
    }
    let request =
        |prompt: &Vec<u32>| Request { prompt: prompt.clone(), max_tokens: 40, ..Request::default() };
    let sequences: Vec<_> =
        prompts.iter().map(|prompt| engine.submit(request(prompt)).expect("valid")).collect();
    let mut together = vec![Vec::new(); prompts.len()];
    while engine.busy() {
        for event in engine.step(std::time::Duration::MAX).expect("the device works") {
            if let Event::Token { sequence, id } = event {
                together[sequences.iter().position(|&s| s == sequence).expect("ours")].push(id);
            }
        }
    }
    assert_eq!(together, alone, "{name}");
    if model.encoder.is_some() {
        let error = engine.logits(&prompts[0], 1).expect_err("it reads a text first").to_string();
        assert!(error.contains("reads a text"), "{error}");
        assert!(engine.submit(request(&vec![5; 129])).is_err(), "the text is too long");
    }
}

#[test]
fn every_fixture_decodes_the_same_alone_and_together() {
    let gpu = common::gpu();
    for folder in ["models", "encoder_decoders"] {
        for entry in std::fs::read_dir(common::data(folder)).expect("a folder of models") {
            let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
            check_batches(&format!("{folder}/{name}"), &gpu);
        }
    }
}

/// A BERT under ALBERT's names, with a group for each layer and an identity for its embeddings, is itself.
#[test]
fn albert_with_the_weights_of_bert_is_bert() {
    let source = common::data("encoders/bert_mlm");
    let folder = std::env::temp_dir().join(format!("aquatint-albert-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let bytes = std::fs::read(source.join("model.safetensors")).expect("weights");
    let file = SafeTensors::deserialize(&bytes).expect("safetensors");
    let renamed = |name: &str| {
        let name = name.replace("bert.", "albert.").replace("cls.predictions.transform.", "predictions.");
        let name = name.replace("cls.predictions.", "predictions.");
        let Some((_, rest)) = name.split_once("encoder.layer.") else { return name };
        let (layer, tensor) = rest.split_once('.').expect("a layer's tensor");
        let tensor = tensor
            .replace("attention.self.", "attention.")
            .replace("attention.output.", "attention.")
            .replace("intermediate.dense", "ffn")
            .replace("output.dense", "ffn_output");
        let tensor = if tensor.starts_with("output.LayerNorm") {
            tensor.replace("output.LayerNorm", "full_layer_layer_norm")
        } else {
            tensor
        };
        format!("albert.encoder.albert_layer_groups.{layer}.albert_layers.0.{tensor}")
    };
    let config = std::fs::read_to_string(source.join("config.json")).expect("text");
    let json: serde_json::Value = serde_json::from_str(&config).expect("JSON");
    let (width, n_layers) = (json["hidden_size"].as_u64().expect("a width"), &json["num_hidden_layers"]);
    let identity: Vec<u8> = (0..width * width)
        .flat_map(|i| if i / width == i % width { 1.0f32 } else { 0.0 }.to_le_bytes())
        .collect();
    let mut tensors: Vec<(String, safetensors::tensor::TensorView)> =
        file.tensors().into_iter().map(|(name, view)| (renamed(&name), view)).collect();
    let shape = vec![width as usize; 2];
    let view =
        safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape, &identity).expect("a view");
    tensors.push(("albert.encoder.embedding_hidden_mapping_in.weight".into(), view));
    let written = safetensors::serialize(tensors, None).expect("written");
    std::fs::write(folder.join("model.safetensors"), written).expect("written");
    let of_albert =
        format!("\"model_type\": \"albert\", \"embedding_size\": {width}, \"num_hidden_groups\": {n_layers}");
    let config = config.replace("\"model_type\": \"bert\"", &of_albert);
    std::fs::write(folder.join("config.json"), config).expect("written");

    let gpu = common::gpu();
    let ids: Vec<u32> = (0..30).map(|i| 5 + i * 7 % 100).collect();
    let input = aquatint::engine::EncoderInput { wanted: (0..30).collect(), ids, ..Default::default() };
    let logits = |path: &str| {
        let mut encoder =
            aquatint::engine::Encoder::new(common::model(&gpu, path), true).expect("an encoder");
        assert_eq!(encoder.model().title, if path.starts_with('/') { "ALBERT" } else { "BERT" });
        encoder.encode(&[input.clone()]).expect("logits").remove(0).logits
    };
    assert_eq!(logits(&folder.display().to_string()), logits("encoders/bert_mlm"));
    std::fs::remove_dir_all(&folder).expect("removed");
}

/// Sparse patterns, which any decoder's config.json may name.
#[test]
fn sparse_patterns_decode_the_same_alone_and_together() {
    let gpu = common::gpu();
    let dense = std::fs::read_to_string(common::data("models/llama_gqa/config.json")).expect("text");
    let folder = std::env::temp_dir().join(format!("aquatint-sparse-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::copy(common::data("models/llama_gqa/model.safetensors"), folder.join("model.safetensors"))
        .expect("a copy");
    let path = folder.display().to_string();
    let tokens: Vec<u32> = (0..100).map(|i| 3 + i * 7 % 150).collect();
    let mut seen = Vec::new();
    for sparse in [
        r#""sparse_attention": {"pattern": "strided", "stride": 9},"#,
        r#""sparse_attention": {"pattern": "fixed", "stride": 16, "summary": 3, "layers": [1]},"#,
        "",
    ] {
        std::fs::write(folder.join("config.json"), dense.replacen('{', &format!("{{{sparse}"), 1))
            .expect("written");
        check_batches(&path, &gpu);
        let mut engine = common::exact(&common::model(&gpu, &path), 128, 1);
        seen.push(engine.logits(&tokens, 1).expect("logits").remove(0));
    }
    assert!(seen[0] != seen[2] && seen[1] != seen[2] && seen[0] != seen[1], "the patterns leave things out");
    std::fs::write(
        folder.join("config.json"),
        dense.replacen('{', r#"{"sparse_attention": {"pattern": "strided"},"#, 1),
    )
    .expect("written");
    let weights = aquatint::weights::Weights::open(&folder).expect("it opens");
    let error = aquatint::model::describe(&weights).expect_err("no stride").to_string();
    assert!(error.contains("sparse_attention") && error.contains("stride"), "{error}");
    std::fs::remove_dir_all(&folder).expect("removed");
}

#[test]
fn stories_260k_tells_the_documented_story() {
    let gpu = common::gpu();
    let model = common::model(&gpu, "stories260K.bin");
    let mut engine = common::exact(&model, 256, 1);
    let logits = engine.logits(&[1], 1).expect("logits").pop().expect("one row");
    for (id, expected) in [(403, 17.02352), (385, 15.40621), (410, 13.10826)] {
        assert!((logits[id] - expected).abs() < 2e-3, "{id}: {} instead of {expected}", logits[id]);
    }
    let options = aquatint::engine::GenerateOptions { max_tokens: 20, ..Default::default() };
    let ids = engine.generate_ids(&[1], &options).expect("a story");
    let documented =
        [403, 407, 261, 378, 432, 383, 286, 261, 376, 298, 315, 421, 395, 317, 426, 338, 401, 396, 267, 337];
    assert_eq!(ids, documented);
    let text = model.tokenizer().expect("a tokenizer").decode(&ids);
    assert!(text.trim_start().starts_with("Once upon a time, there was a little girl named Lily."), "{text}");
}

#[test]
fn an_unknown_architecture_is_named_with_the_nearest() {
    let folder = std::env::temp_dir().join(format!("aquatint-unknown-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(common::data(&format!("models/llama_gqa/{file}")), folder.join(file)).expect("a copy");
    }
    let config = std::fs::read_to_string(folder.join("config.json")).expect("text");
    let load = |config: &str| {
        std::fs::write(folder.join("config.json"), config).expect("written");
        let weights = aquatint::weights::Weights::open(&folder)?;
        aquatint::model::describe(&weights)
    };
    let unknown =
        load(&config.replace("\"llama\"", "\"llamba\"")).expect_err("no such architecture").to_string();
    assert!(unknown.contains("llamba") && unknown.contains("nearest: llama"), "{unknown}");
    // A shape that does not fit names the tensor, what was expected and what was found.
    std::fs::write(
        folder.join("config.json"),
        config.replace("\"intermediate_size\": 112", "\"intermediate_size\": 116"),
    )
    .expect("written");
    let options = aquatint::model::LoadOptions { tokenizer_optional: true, ..Default::default() };
    let error = aquatint::model::Model::load(&common::gpu(), &folder, &options, &mut |_| {});
    let error = error.expect_err("the shapes differ").to_string();
    assert!(error.contains("mlp.down_proj") && error.contains("116") && error.contains("112"), "{error}");
    std::fs::remove_dir_all(&folder).expect("removed");
}
