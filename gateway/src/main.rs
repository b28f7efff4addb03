//! The `sekisho` command; everything is in the library.

/// A request allocates some hundred small pieces and frees them on another thread; see `docs/decisions/0002-libraries.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    sekisho::cli::main()
}
