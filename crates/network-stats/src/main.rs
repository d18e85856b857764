//! The program `network-stats`: all of it is in the library.

fn main() -> std::process::ExitCode {
    network_stats::main()
}
