//! Turns `index.html` into the page that is served: hashed addresses, one style sheet, the start script, the policy.
//!
//! `index.html` is also what Trunk reads, so each asset stands there as one `data-trunk` element on a line of its own.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::write_if_changed;
use crate::bindgen::Bound;
use crate::fingerprint;
use crate::repository::Repository;

/// What the page may load and from where: itself alone, WebAssembly, workers from text, and Plotly's inline styles and image downloads.
const POLICY: &str = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data: blob:; worker-src 'self' blob:; connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'";

/// Addresses of the files that the page names, relative to it.
struct Addresses {
    app_glue: String,
    app_wasm: String,
    engine_glue: String,
    engine_wasm: String,
    reader_glue: String,
    reader_wasm: String,
    lab_glue: String,
    lab_wasm: String,
    plotly: String,
    boot: String,
    style: String,
    icon: String,
}

/// Writes the page and every file it names, removes what an earlier build left, and returns the number of files.
///
/// # Errors
/// When a file is missing, a style sheet is not linked, or `index.html` lacks a line this step relies on.
pub fn assemble(
    repository: &Repository,
    [app, lab]: &[Bound; 2],
    [engine, reader]: &[Bound; 2],
    plotly: &Path,
    dist: &Path,
) -> Result<usize> {
    let root = &repository.root;
    let template = fs::read_to_string(root.join("index.html")).context("could not read index.html")?;
    fs::create_dir_all(dist)?;
    let mut written = BTreeSet::from(["index.html".to_owned()]);
    let mut put = |stem: &str, extension: &str, bytes: &[u8]| -> Result<String> {
        let name = format!("{stem}-{}.{extension}", fingerprint::of(&[bytes]));
        write_if_changed(&dist.join(&name), bytes)?;
        written.insert(name.clone());
        Ok(format!("./{name}"))
    };
    let addresses = Addresses {
        app_glue: put("app", "js", &read(&app.glue)?)?,
        app_wasm: put("app_bg", "wasm", &read(&app.wasm)?)?,
        engine_glue: put("engine", "js", &read(&engine.glue)?)?,
        engine_wasm: put("engine_bg", "wasm", &read(&engine.wasm)?)?,
        reader_glue: put("reader", "js", &read(&reader.glue)?)?,
        reader_wasm: put("reader_bg", "wasm", &read(&reader.wasm)?)?,
        lab_glue: put("lab", "js", &read(&lab.glue)?)?,
        lab_wasm: put("lab_bg", "wasm", &read(&lab.wasm)?)?,
        plotly: put("plotly-basic.min", "js", &read(plotly)?)?,
        boot: put("boot", "mjs", &read(&root.join("web/boot.mjs"))?)?,
        style: put("style", "css", &style(root, &template)?)?,
        icon: in_line(&fs::read_to_string(root.join("web/icon.svg")).context("could not read web/icon.svg")?),
    };
    write_if_changed(&dist.join("index.html"), render(&template, &addresses)?.as_bytes())?;
    for entry in fs::read_dir(dist)? {
        let entry = entry?;
        let is_ours = entry.file_name().to_str().is_some_and(|name| written.contains(name));
        if !is_ours && entry.file_type()?.is_file() {
            fs::remove_file(entry.path())?;
        } else if !is_ours {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(written.len())
}

/// An image as an address that holds it, so that the browser never asks for it, not even later.
fn in_line(svg: &str) -> String {
    let line = svg.split_whitespace().collect::<Vec<_>>().join(" ");
    let escaped = [("%", "%25"), ("\"", "'"), ("#", "%23"), ("<", "%3C"), (">", "%3E"), ("&", "%26")]
        .into_iter()
        .fold(line, |text, (sign, escaped)| text.replace(sign, escaped));
    format!("data:image/svg+xml,{escaped}")
}

/// Joins the style sheets in the order in which the page links them.
fn style(root: &Path, template: &str) -> Result<Vec<u8>> {
    let linked: Vec<&str> =
        assets(template).filter(|(kind, _)| *kind == "css").map(|(_, line)| attribute(line, "href")).collect();
    let mut joined = Vec::new();
    for sheet in &linked {
        joined.extend(read(&root.join(sheet))?);
        joined.push(b'\n');
    }
    for entry in fs::read_dir(root.join("web/style")).context("could not read web/style")? {
        let path = entry?.path();
        let name = path.strip_prefix(root)?.to_string_lossy().replace('\\', "/");
        let is_sheet = path.extension().is_some_and(|extension| extension == "css");
        ensure!(
            !is_sheet || linked.contains(&name.as_str()),
            "{name} is in no `data-trunk` link of index.html, so the page would not use it"
        );
    }
    Ok(joined)
}

/// Rewrites the lines of the template that name assets.
fn render(template: &str, addresses: &Addresses) -> Result<String> {
    let mut page = String::new();
    let mut has_style = false;
    let mut missing = BTreeSet::from([
        "charset",
        "rust",
        "css",
        "plimsoll-engine-js",
        "plimsoll-engine-wasm",
        "plimsoll-reader-js",
        "plimsoll-reader-wasm",
        "plimsoll-lab-js",
        "plimsoll-lab-wasm",
        "plimsoll-plotly",
    ]);
    for line in template.lines() {
        let rendered = if line.contains("<meta charset") {
            missing.remove("charset");
            vec![line.trim().to_owned(), meta("http-equiv", "Content-Security-Policy", POLICY)]
        } else if let Some((name, address)) = loaded_by_the_page(line, addresses) {
            missing.remove(name);
            vec![meta("name", name, address)]
        } else if let Some((kind, _)) = assets(line).next() {
            missing.remove(kind);
            match kind {
                "icon" => vec![format!(r#"<link rel="icon" type="image/svg+xml" href="{}">"#, addresses.icon)],
                "css" if has_style => vec![],
                "css" => {
                    has_style = true;
                    vec![format!(r#"<link rel="stylesheet" href="{}">"#, addresses.style)]
                }
                "rust" => start(addresses),
                "copy-dir" => vec![],
                other => bail!("index.html has a `data-trunk` element of kind {other}, which this build does not know"),
            }
        } else {
            page.push_str(line);
            page.push('\n');
            continue;
        };
        for element in rendered {
            page.push_str("    ");
            page.push_str(&element);
            page.push('\n');
        }
    }
    ensure!(missing.is_empty(), "index.html has no line for {missing:?}");
    Ok(page)
}

/// What starts the page: the modules are announced early so that they load side by side.
fn start(addresses: &Addresses) -> Vec<String> {
    let ahead = |address: &str| format!(r#"<link rel="preload" as="fetch" crossorigin="anonymous" href="{address}">"#);
    vec![
        meta("name", "plimsoll-app-js", &addresses.app_glue),
        meta("name", "plimsoll-app-wasm", &addresses.app_wasm),
        format!(r#"<link rel="modulepreload" href="{}">"#, addresses.app_glue),
        ahead(&addresses.app_wasm),
        ahead(&addresses.engine_glue),
        ahead(&addresses.engine_wasm),
        format!(r#"<script type="module" src="{}"></script>"#, addresses.boot),
    ]
}

fn loaded_by_the_page<'a>(line: &str, addresses: &'a Addresses) -> Option<(&'static str, &'a str)> {
    if !line.contains("<meta name=\"plimsoll-") {
        return None;
    }
    match attribute(line, "name") {
        "plimsoll-engine-js" => Some(("plimsoll-engine-js", &addresses.engine_glue)),
        "plimsoll-engine-wasm" => Some(("plimsoll-engine-wasm", &addresses.engine_wasm)),
        "plimsoll-reader-js" => Some(("plimsoll-reader-js", &addresses.reader_glue)),
        "plimsoll-reader-wasm" => Some(("plimsoll-reader-wasm", &addresses.reader_wasm)),
        "plimsoll-lab-js" => Some(("plimsoll-lab-js", &addresses.lab_glue)),
        "plimsoll-lab-wasm" => Some(("plimsoll-lab-wasm", &addresses.lab_wasm)),
        "plimsoll-plotly" => Some(("plimsoll-plotly", &addresses.plotly)),
        _ => None,
    }
}

/// The kind and the line of every `data-trunk` element.
fn assets(template: &str) -> impl Iterator<Item = (&str, &str)> {
    template
        .lines()
        .filter(|line| line.trim_start().starts_with("<link data-trunk "))
        .map(|line| (attribute(line, "rel"), line))
}

/// The text of an attribute, empty where it is missing.
fn attribute<'a>(line: &'a str, name: &str) -> &'a str {
    line.split_once(&format!(" {name}=\"")).and_then(|(_, rest)| rest.split_once('"')).map_or("", |(value, _)| value)
}

fn meta(key: &str, name: &str, content: &str) -> String {
    format!(r#"<meta {key}="{name}" content="{content}">"#)
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("could not read {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = include_str!("../../../index.html");

    fn addresses() -> Addresses {
        let at = |name: &str| format!("./{name}-0");
        Addresses {
            app_glue: at("app"),
            app_wasm: at("app-wasm"),
            engine_glue: at("engine"),
            engine_wasm: at("engine-wasm"),
            reader_glue: at("reader"),
            reader_wasm: at("reader-wasm"),
            lab_glue: at("lab"),
            lab_wasm: at("lab-wasm"),
            plotly: at("plotly"),
            boot: at("boot"),
            style: at("style"),
            icon: in_line("<svg fill=\"#123456\">\n</svg>"),
        }
    }

    #[test]
    fn the_page_names_every_file_and_keeps_no_build_instruction() {
        let page = render(TEMPLATE, &addresses()).expect("the template is complete");
        for file in [
            "lab",
            "lab-wasm",
            "app",
            "app-wasm",
            "engine",
            "engine-wasm",
            "reader",
            "reader-wasm",
            "plotly",
            "boot",
            "style",
        ] {
            assert!(page.contains(&format!("\"./{file}-0\"")), "{file} is not named in\n{page}");
        }
        assert!(page.contains(r#"href="data:image/svg+xml,%3Csvg fill='%23123456'%3E %3C/svg%3E""#), "{page}");
        assert!(!page.contains("<link data-trunk"), "{page}");
        assert_eq!(page.matches("rel=\"stylesheet\"").count(), 1);
    }

    #[test]
    fn the_policy_allows_no_other_origin_and_stands_before_every_asset() {
        let page = render(TEMPLATE, &addresses()).expect("the template is complete");
        let policy = page.find("Content-Security-Policy").expect("a policy");
        assert!(policy < page.find("<link").expect("a link"));
        assert!(!POLICY.contains("http"));
    }

    #[test]
    fn a_template_without_the_engine_is_refused() {
        let without: String =
            TEMPLATE.lines().filter(|line| !line.contains("plimsoll-engine-wasm")).collect::<Vec<_>>().join("\n");
        let refusal = render(&without, &addresses()).expect_err("a line is missing").to_string();
        assert!(refusal.contains("plimsoll-engine-wasm"), "{refusal}");
    }
}
