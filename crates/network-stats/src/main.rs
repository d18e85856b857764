//! Network Stats Collector.
fn main() {}
