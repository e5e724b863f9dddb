//! Every input of the corpus, found by the engine or written by hand, holds.
#![forbid(unsafe_code)]

use std::path::Path;

use coracle_test_fuzz::TARGETS;

#[test]
fn the_corpus_holds() {
    for target in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
        let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut count = 0;
        for file in files {
            let path = file.unwrap().path();
            // The name of the input at fault, should this be the last line.
            println!("{}", path.display());
            (target.run)(&std::fs::read(&path).unwrap());
            count += 1;
        }
        assert!(count > 0, "{} is empty", folder.display());
    }
}

/// Short and simple inputs need no corpus.
#[test]
fn every_target_takes_anything_short() {
    for target in TARGETS {
        (target.run)(&[]);
        for byte in 0..=u8::MAX {
            (target.run)(&[byte]);
            (target.run)(&[byte; 100]);
        }
    }
}
