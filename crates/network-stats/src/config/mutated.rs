//! Wrong config files: refused with a place and a reason, or taken; never a panic, never memory without bound.

#[path = "../../../../fixtures/mutate.rs"]
mod mutate;

use mutate::{Mutator, within_bounds};

use super::*;

const MUTATIONS: u64 = 20_000;

/// The default file and all examples.
fn golden() -> Vec<Vec<u8>> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../config"));
    let examples = std::fs::read_dir(folder.join("examples")).unwrap().map(|entry| entry.unwrap().path());
    examples.chain([folder.join("network-stats.ron")]).map(|path| std::fs::read(path).unwrap()).collect()
}

#[test]
fn a_mutated_config_file_is_refused_with_a_place_or_taken() {
    let golden = golden();
    within_bounds(|| {
        let (mut refused, mut taken) = (0_u64, 0_u64);
        for (number, mut mutator) in Mutator::all(MUTATIONS) {
            let original = &golden[mutator.below(golden.len())];
            let bytes = mutator.mutate(original, false);
            match parse(Path::new("x.ron"), &bytes) {
                Ok(config) => {
                    taken += 1;
                    config.desired(None);
                }
                Err(problem) => {
                    refused += 1;
                    assert!(problem.to_string().starts_with("x.ron:"), "mutation {number}: {problem}");
                }
            }
        }
        assert!(refused > taken / 20 && taken > refused / 20, "{refused} refused, {taken} taken: hardly a test");
    });
}
