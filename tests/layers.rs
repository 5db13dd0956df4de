//! The layers and the absences that `src/lib.rs` states, read off the source text.

use std::path::{Path, PathBuf};

/// A module uses those before it in this list, and itself.
const LAYERS: &[&str] = &[
    "error", "tensor", "weights", "text", "store", "gpu", "graph", "kernels", "model", "engine", "vectors",
    "cli",
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder of sources").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// (module, file, line, text) of every line that is code.
fn lines() -> Vec<(String, PathBuf, usize, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut lines = Vec::new();
    for file in sources(&root) {
        let relative = file.strip_prefix(&root).expect("below src");
        let module = relative.components().next().expect("a name").as_os_str().to_string_lossy();
        let module = module.trim_end_matches(".rs").to_owned();
        for (i, line) in std::fs::read_to_string(&file).expect("text").lines().enumerate() {
            if !line.trim_start().starts_with("//") {
                lines.push((module.clone(), file.clone(), i + 1, line.to_owned()));
            }
        }
    }
    assert!(lines.len() > 5000, "the sources were found");
    lines
}

fn report(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_module_uses_only_modules_below_it() {
    let rank = |module: &str| LAYERS.iter().position(|layer| *layer == module);
    let mut wrong = Vec::new();
    for (module, file, number, line) in lines() {
        if module == "lib" || module == "main" {
            continue;
        }
        let own = rank(&module).unwrap_or_else(|| panic!("{module} is not in the list of layers"));
        for used in line.split("crate::").skip(1) {
            let used: String = used.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            if rank(&used).is_some_and(|used| used > own) {
                wrong.push(format!("{}:{number}: {module} uses {used}: {line}", file.display()));
            }
        }
    }
    report(wrong);
}

#[test]
fn the_modules_of_the_library_are_the_layers() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
    let text = std::fs::read_to_string(root).expect("text");
    let declared: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let expected: Vec<&str> = LAYERS.iter().copied().filter(|layer| declared.contains(layer)).collect();
    assert_eq!(declared, expected, "src/lib.rs lists its modules from the lowest layer to the highest");
}

#[test]
fn only_gpu_names_wgpu() {
    let names = |line: &str| line.contains("wgpu::") || line.contains("use wgpu");
    let wrong = lines().into_iter().filter(|(module, _, _, line)| module != "gpu" && names(line));
    report(wrong.map(|(_, file, number, line)| format!("{}:{number}: {line}", file.display())).collect());
}

#[test]
fn only_cli_prints_or_exits() {
    let words = ["println!", "print!(", "process::exit", "dbg!"];
    let wrong = lines().into_iter().filter(|(module, _, _, line)| {
        module != "cli" && words.iter().any(|word| line.contains(word)) && !line.contains("writeln!")
    });
    report(wrong.map(|(_, file, number, line)| format!("{}:{number}: {line}", file.display())).collect());
}

#[test]
fn architectures_are_named_only_in_their_own_files() {
    // Names that are no words of their own; `cli`, `store` and `text` name files and models of users.
    let names =
        ["llama", "gemma", "mistral", "mixtral", "qwen", "phi3", "gpt2", "bloom", "falcon", "bert", "olmo"];
    let wrong = lines().into_iter().filter(|(module, file, _, line)| {
        let lower = line.to_lowercase().replace("llama2c", "").replace("llama3", "").replace("llama.cpp", "");
        let is_arch = file.components().any(|part| part.as_os_str() == "arch");
        (module == "model" || module == "engine" || module == "kernels")
            && !is_arch
            && names.iter().any(|name| lower.contains(name))
    });
    report(wrong.map(|(_, file, number, line)| format!("{}:{number}: {line}", file.display())).collect());
}
