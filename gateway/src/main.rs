//! The `sekisho` command; everything is in the library.

fn main() -> std::process::ExitCode {
    sekisho::cli::main()
}
