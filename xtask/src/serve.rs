//! Serves `dist/` on this machine, as a static host would.

use std::fs::File;
use std::net::Ipv4Addr;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::thread;

use anyhow::{Result, bail};
use tiny_http::{Header, Request, Response, Server};

use crate::repository::Repository;
use crate::site::{self, Profile};

/// A browser opens up to six connections; a slow one must not hold up the others.
const NUM_THREADS: usize = 4;

/// How many ports are tried after the one asked for.
const NUM_PORTS: u16 = 20;

/// Builds the site and serves it until the process is stopped.
///
/// # Errors
/// When the site cannot be built or no port is free.
pub fn run(repository: &Repository, profile: Profile, port: u16) -> Result<()> {
    let dist = site::build(repository, profile)?;
    let (server, port) = listen(port)?;
    println!("\nPlimsoll is at http://localhost:{port}/  (Ctrl+C stops it)");
    let server = Arc::new(server);
    let threads: Vec<_> = (0..NUM_THREADS)
        .map(|_| {
            let (server, dist) = (Arc::clone(&server), dist.clone());
            thread::spawn(move || {
                while let Ok(request) = server.recv() {
                    answer(&dist, request);
                }
            })
        })
        .collect();
    for thread in threads {
        // A thread ends only with the server; a panic in one has been printed already.
        drop(thread.join());
    }
    Ok(())
}

fn listen(first: u16) -> Result<(Server, u16)> {
    let last = first.saturating_add(NUM_PORTS);
    for port in first..=last {
        if let Ok(server) = Server::http((Ipv4Addr::LOCALHOST, port)) {
            return Ok((server, port));
        }
    }
    bail!("no port from {first} to {last} is free; name another with --port");
}

fn answer(dist: &Path, request: Request) {
    let sent = match locate(dist, request.url()).and_then(|file| Some((File::open(&file).ok()?, file))) {
        Some((content, file)) => {
            let response = Response::from_file(content)
                // The length lets the page show progress by bytes.
                .with_chunked_threshold(usize::MAX)
                .with_header(header("Content-Type", mime_type(&file)))
                // Names carry hashes, but a developer rebuilds all the time: always ask again.
                .with_header(header("Cache-Control", "no-cache"))
                .with_header(header("X-Content-Type-Options", "nosniff"));
            request.respond(response)
        }
        None => request.respond(Response::from_string("not found\n").with_status_code(404)),
    };
    // The browser may have closed the connection: nothing to do about it.
    drop(sent);
}

/// The file an address names, if it lies in the folder.
fn locate(dist: &Path, address: &str) -> Option<PathBuf> {
    let path = address.split(['?', '#']).next().unwrap_or_default().trim_start_matches('/');
    let relative = Path::new(if path.is_empty() { "index.html" } else { path });
    let is_inside = relative.components().all(|part| matches!(part, Component::Normal(_)));
    let file = dist.join(relative);
    (is_inside && file.is_file()).then_some(file)
}

fn mime_type(file: &Path) -> &'static str {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("wasm") => "application/wasm",
        Some("svg") => "image/svg+xml",
        Some("json") => "application/json",
        _ => "application/octet-stream",
    }
}

fn header(name: &str, value: &str) -> Header {
    Header::from_bytes(name, value).expect("both are plain ASCII written above")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_inside_the_folder_are_served() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert_eq!(locate(here, "/Cargo.toml?v=1"), Some(here.join("Cargo.toml")));
        assert_eq!(locate(here, "/src/main.rs"), Some(here.join("src/main.rs")));
        assert_eq!(locate(here, "/../Cargo.toml"), None);
        assert_eq!(locate(here, "//etc/hostname/../../Cargo.toml"), None);
        assert_eq!(locate(here, "/src"), None);
        assert_eq!(locate(here, "/"), None, "there is no index.html here");
    }
}
