//! Generates text from a prompt.
//!
//!     cargo run --release --example generate -- [MODEL] [PROMPT]

use std::io::Write;
use std::sync::Arc;

use aquatint::engine::{Engine, EngineOptions, GenerateOptions};
use aquatint::gpu::{Gpu, Options};
use aquatint::model::{LoadOptions, Model};
use aquatint::store;
use aquatint::text::Encode;

fn main() -> aquatint::Result<()> {
    let mut args = std::env::args().skip(1);
    let model = args.next().unwrap_or_else(|| store::DEFAULT.to_owned());
    let prompt = args.next().unwrap_or_else(|| "Once upon a time".to_owned());

    let gpu = Gpu::open(&Options::default())?;
    let path = store::resolve(&model, &mut |_| {})?;
    let model = Arc::new(Model::load(&gpu, path, &LoadOptions::default(), &mut |_| {})?);
    let mut engine = Engine::new(model.clone(), EngineOptions::default())?;

    let ids = model.tokenizer()?.encode(&prompt, Encode::default())?;
    print!("{prompt}");
    for piece in engine.generate(&ids, &GenerateOptions { max_tokens: 64, ..Default::default() })? {
        print!("{}", piece?.text);
        std::io::stdout().flush().expect("stdout is open");
    }
    println!();
    Ok(())
}
