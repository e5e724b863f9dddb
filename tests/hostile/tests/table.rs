//! Every row on every engine of a host.

mod engines;

use coracle_test_hostile::{Guest, Row, SLICE_FUEL, Wasmi, alone, beside, neighbour, reference, rows};
use engines::{Native, Pulley};

/// Runs all rows and names those that come to something else than they should.
fn check<G: Guest>(engine: &str, expected: impl Fn(&Row) -> Option<&str>) {
    let neighbour = neighbour();
    let undisturbed = reference::<G>(&neighbour).unwrap();
    let (mut count, mut wrong, mut dearest) = (0, Vec::new(), (0, String::new()));
    for row in rows() {
        let Some(expected) = expected(&row) else { continue };
        count += 1;
        let report = beside::<G>(&row.case, &neighbour, &undisturbed, &|| 0);
        if report.outcome != expected {
            wrong.push(format!("{}: {}, expected {expected}", row.case.name, report.outcome));
        }
        if let Some(complaint) = report.complaint {
            wrong.push(format!("{}: {complaint}", row.case.name));
        }
        dearest = dearest.max((report.slice_fuel, row.case.name));
    }
    println!(
        "{count} rows on {engine}; the dearest slice took {} for {SLICE_FUEL} units of fuel: {}",
        dearest.0, dearest.1
    );
    assert!(wrong.is_empty(), "{} of {count} rows on {engine}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_row_on_wasmi() {
    check::<Wasmi>("wasmi", |row| row.expected.on_m.as_deref());
}

#[test]
fn every_row_on_wasmtime() {
    check::<Native>("Wasmtime", |row| row.expected.on_a.as_deref());
}

#[test]
fn every_row_on_pulley() {
    check::<Pulley>("Pulley", |row| row.expected.on_a.as_deref());
}

#[test]
fn preparation_says_what_every_row_expects() {
    let wrong: Vec<String> = rows()
        .iter()
        .filter(|row| row.admission != row.expected.admission)
        .map(|row| format!("{}: {}, expected {}", row.case.name, row.admission, row.expected.admission))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_rows_are_distinct_and_many() {
    let rows = rows();
    let mut names: Vec<&str> = rows.iter().map(|row| row.case.name.as_str()).collect();
    names.sort_unstable();
    let twice: Vec<&&str> = names.iter().zip(names.iter().skip(1)).filter(|(a, b)| a == b).map(|(a, _)| a).collect();
    assert!(twice.is_empty(), "{twice:?}");
    println!("{} rows", rows.len());
    assert!(rows.len() >= 60);
}

#[test]
fn a_row_runs_alike_with_and_without_neighbours() {
    let row = rows().into_iter().find(|row| row.case.cycled).unwrap();
    assert_eq!(Some(alone::<Wasmi>(&row.case)), row.expected.on_m);
}
