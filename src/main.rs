//! The `aquatint` program; everything is in the library.

fn main() -> std::process::ExitCode {
    aquatint::cli::main()
}
