use std::process::ExitCode;

/// glibc's allocator took 17 % of a node's time under load (loadtest/README.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    herald_node::cli::main()
}
