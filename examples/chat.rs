//! A conversation: each line of stdin is a message. Later answers share the cache of earlier ones.
//!
//!     cargo run --release --example chat -- [MODEL]

use std::io::{BufRead, Write};
use std::sync::Arc;

use aquatint::engine::{Engine, EngineOptions, GenerateOptions};
use aquatint::gpu::{Gpu, Options};
use aquatint::model::{LoadOptions, Model};
use aquatint::store;
use aquatint::text::{ChatOptions, ChatTemplate, Encode, Message};

fn main() -> aquatint::Result<()> {
    let model = std::env::args().nth(1).unwrap_or_else(|| store::DEFAULT.to_owned());
    let gpu = Gpu::open(&Options::default())?;
    let path = store::resolve(&model, &mut |_| {})?;
    let model = Arc::new(Model::load(&gpu, path, &LoadOptions::default(), &mut |_| {})?);
    let mut engine = Engine::new(model.clone(), EngineOptions::default())?;

    let tokenizer = model.tokenizer()?;
    let template = tokenizer.chat_template().expect("this example needs a model with a chat template");
    let piece = |id: Option<u32>| id.and_then(|id| tokenizer.piece(id));
    let template = ChatTemplate::new(template, piece(tokenizer.bos()), piece(tokenizer.eos()))?;
    let options = ChatOptions { add_generation_prompt: true, ..Default::default() };

    let mut messages: Vec<Message> = Vec::new();
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        messages.push(Message::new("user", line));
        let text = template.render(&messages, &options)?;
        let ids = tokenizer.encode(&text, Encode { special: true, bos: Some(false), eos: Some(false) })?;
        let mut answer = String::new();
        for piece in engine.generate(&ids, &GenerateOptions::default())? {
            let piece = piece?.text;
            print!("{piece}");
            std::io::stdout().flush().expect("stdout is open");
            answer.push_str(&piece);
        }
        println!();
        messages.push(Message::new("assistant", answer));
    }
    Ok(())
}
