//! A file larger than anybody wants in memory: read in pieces, with memory that does not grow with it.

use plimsoll_logs::LogReader;
use std::alloc::{GlobalAlloc, Layout, System};
use std::fmt::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts what is allocated and how much that was at most.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is the system allocator's; the counts beside it touch no memory that is handed out.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(held, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes of the generated file.
const SIZE: usize = 500_000_000;
/// A request with a prompt of 5 kB, as a detailed result has it: all but two hundred bytes are dropped.
const PROMPT: usize = 5_000;
/// What a hundred thousand requests may hold, with room for a list that doubles while it grows.
const MAX_HELD: usize = 64 << 20;

#[test]
fn five_hundred_megabytes_are_read_in_a_few_megabytes() {
    let prompt = "All work and no play. ".repeat(PROMPT / 22);
    let mut reader = LogReader::new("huge.jsonl");
    let before = HELD.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let (mut index, mut line) = (0u32, String::with_capacity(2 * PROMPT));
    while reader.bytes_read() < SIZE as u64 {
        let at = f64::from(index) * 0.01;
        line.clear();
        let _ = writeln!(
            line,
            "{{\"request_id\": \"r{index}\", \"prompt\": \"{prompt}\", \"input_toks\": 10, \"output_toks\": 3, \
             \"arrival_time\": {:.3}, \"queued_ts\": {:.3}, \"scheduled_ts\": {:.3}, \"first_token_ts\": {:.3}, \
             \"last_token_ts\": {:.3}}}",
            1e6 + at,
            50.0 + at,
            50.0 + at,
            50.05 + at,
            50.072 + at
        );
        // Pieces that end anywhere.
        for piece in line.as_bytes().chunks(4097) {
            reader.push(piece);
        }
        index += 1;
    }
    let content = reader.finish().unwrap_or_else(|problems| panic!("{problems:?}"));
    let held = MOST.load(Ordering::Relaxed) - before;
    let run = &content.runs[0].measurement;
    assert_eq!(run.requests.len(), index as usize);
    assert!(index > 90_000 && held < MAX_HELD, "{held} bytes for {index} requests");
}
