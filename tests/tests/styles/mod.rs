//! Rules of the style sheets: a class name means one thing, so that no rule reaches what it was not written for.
//!
//! All sheets are joined into one and every selector sees the whole page.
//! The toolbar of the results and the bars of a table inside them once shared the name `bar`: the toolbar's rule won, and
//! every bar of two tabs was two pixels long.

use std::collections::{BTreeMap, BTreeSet};

use super::tree::{File, files};

/// A selector that styles a class: where it stands, and which other classes must be around it or with it.
#[derive(Debug, PartialEq)]
struct Use {
    sheet: String,
    selector: String,
    context: BTreeSet<String>,
}

#[test]
fn a_class_is_styled_in_one_sheet() {
    let wrong: Vec<String> = uses(&sheets())
        .into_iter()
        .filter_map(|(class, uses)| {
            let homes: BTreeSet<&str> = uses.iter().map(|found| found.sheet.as_str()).collect();
            let places: Vec<&str> = homes.iter().copied().collect();
            (homes.len() > 1).then(|| format!(".{class} is styled in {}", places.join(" and ")))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_class_that_is_part_of_something_is_part_of_one_thing() {
    let wrong: Vec<String> = uses(&sheets()).iter().filter_map(|(class, uses)| ambiguity(class, uses)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_sheet_styles_what_the_page_does_not_have() {
    let is_page = |file: &File| file.name.starts_with("web/src/") || file.name == "index.html";
    let page: Vec<File> = files(&["rs", "html"]).into_iter().filter(is_page).collect();
    let words: BTreeSet<&str> = page.iter().flat_map(|file| file.text.lines().flat_map(given_names)).collect();
    // Charts number their lines.
    let is_numbered = |class: &str| class.strip_prefix('r').is_some_and(|number| number.parse::<u8>().is_ok());
    let found = uses(&sheets());
    let without: Vec<&str> =
        found.keys().map(String::as_str).filter(|class| !words.contains(class) && !is_numbered(class)).collect();
    assert!(without.is_empty(), "nothing on the page has the class {}", without.join(", "));
}

/// The words of a line that may name a class: those in quotes, also inside raw text, and those behind `class:`.
fn given_names(line: &str) -> Vec<&str> {
    let is_name = |character: char| character.is_alphanumeric() || character == '-' || character == '_';
    let quoted = line.split('"').skip(1).step_by(2).chain(line.split("class:").skip(1));
    let inner = line.split("class=\"").skip(1).filter_map(|part| part.split('"').next());
    quoted.chain(inner).flat_map(|part| part.split(move |character| !is_name(character))).collect()
}

fn sheets() -> Vec<File> {
    let sheets: Vec<File> = files(&["css"]).into_iter().filter(|file| file.name.starts_with("web/style/")).collect();
    assert!(sheets.len() > 3, "the style sheets were not found");
    sheets
}

/// Why a class has several meanings, if it has: it never stands alone, and no other class is always with it.
fn ambiguity(class: &str, uses: &[Use]) -> Option<String> {
    if uses.iter().any(|found| found.context.is_empty()) {
        return None;
    }
    let mut contexts = uses.iter().map(|found| found.context.clone());
    let first = contexts.next()?;
    let common = contexts.fold(first, |common, context| &common & &context);
    let selectors: Vec<&str> = uses.iter().map(|found| found.selector.as_str()).collect();
    common.is_empty().then(|| format!(".{class} is part of several things: {}", selectors.join(", ")))
}

/// Every class with the selectors whose subject has it.
fn uses(sheets: &[File]) -> BTreeMap<String, Vec<Use>> {
    let mut found: BTreeMap<String, Vec<Use>> = BTreeMap::new();
    for sheet in sheets {
        for selector in selectors(&sheet.text) {
            let compounds: Vec<&str> =
                selector.split([' ', '>', '+', '~']).filter(|compound| !compound.is_empty()).collect();
            let Some((subject, around)) = compounds.split_last() else { continue };
            let with = classes(subject);
            let outer: BTreeSet<String> = around.iter().flat_map(|compound| classes(compound)).collect();
            for class in &with {
                let context = outer.iter().chain(&with).filter(|other| *other != class).cloned().collect();
                let found = found.entry(class.clone()).or_default();
                found.push(Use { sheet: sheet.name.clone(), selector: selector.clone(), context });
            }
        }
    }
    found
}

/// The selectors of a sheet, each by itself, those inside `@media` included.
fn selectors(sheet: &str) -> Vec<String> {
    let mut text = String::new();
    for (index, part) in sheet.split("/*").enumerate() {
        text += if index == 0 { part } else { part.split_once("*/").map_or("", |(_, after)| after) };
    }
    // Before each opening brace stands a list of selectors, behind what closed or ended last.
    let heads = text.split('{').filter_map(|part| part.rsplit(['}', ';']).next());
    let mut found: Vec<String> = Vec::new();
    let num_blocks = text.matches('{').count();
    for head in heads.take(num_blocks).map(str::trim).filter(|head| !head.starts_with('@')) {
        found.extend(head.split(',').map(|selector| selector.split_whitespace().collect::<Vec<_>>().join(" ")));
    }
    found
}

/// The classes of a compound selector; what stands in brackets is none.
fn classes(compound: &str) -> BTreeSet<String> {
    let plain = compound.split('[').next().unwrap_or_default();
    let is_name = |character: char| character.is_alphanumeric() || character == '-' || character == '_';
    let after = plain.split('.').skip(1);
    after.map(|part| part.chars().take_while(|character| is_name(*character)).collect()).collect()
}

#[test]
fn a_name_with_two_meanings_is_recognized() {
    let sheet = |name: &str, text: &str| File { name: name.into(), text: text.into() };
    let a = sheet(
        "a.css",
        ".results .bar { gap: .5em } /* .x { */ @media (min-width: 9.5rem) { .shares > td.bar, .chip { top: 0 } }",
    );
    let b = sheet("b.css", ".offer .chip.open:not(.x) { top: 0 } .shares .bar i { top: 1px } .plot[data-x=\".y\"] {}");
    let found = uses(&[a, b]);
    assert_eq!(found.keys().map(String::as_str).collect::<Vec<_>>(), ["bar", "chip", "open", "plot", "x"]);
    let said = ambiguity("bar", &found["bar"]);
    assert_eq!(said.as_deref(), Some(".bar is part of several things: .results .bar, .shares > td.bar"));
    assert_eq!(ambiguity("chip", &found["chip"]), None, "it has a look of its own, which a place adjusts");
    let homes: Vec<&str> = found["chip"].iter().map(|found| found.sheet.as_str()).collect();
    assert_eq!(homes, ["a.css", "b.css"]);
}
