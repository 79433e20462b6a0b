//! Measures the steps of a read and of a new transaction: `cargo bench --features bench`.

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use litestream_vfs::ltx::{Encoder, FileName, Form, Header, PageSize, Txid, decode_page, verify};
use litestream_vfs::replica::bench::{Subject, listing, plan};

fn main() {
    divan::main();
}

/// An endless series of scattered page numbers, as a join by an index reads them.
fn scattered(pages: u32) -> impl FnMut() -> u32 {
    let mut at = 0u32;
    move || {
        at = at.wrapping_add(2_654_435_761);
        at % pages + 1
    }
}

/// Text that LZ4 compresses to about half.
fn page(size: u32) -> Vec<u8> {
    let words = ["order", "of", "the", "careful", "customer", "ships", "by", "rail", "before", "noon"];
    let mut page = Vec::new();
    let mut state = 1u32;
    while page.len() < size as usize {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        page.extend_from_slice(words[(state >> 24) as usize % words.len()].as_bytes());
        page.extend_from_slice(&(state >> 16).to_be_bytes()[2..]);
    }
    page.truncate(size as usize);
    page
}

#[divan::bench(args = [Form::Block, Form::Frame])]
fn decode(bencher: Bencher, form: Form) {
    let page = page(4096);
    let header = Header::plain(PageSize::new(4096).expect("a page size"), 1, FileName::of(Txid(1)));
    let mut encoder = Encoder::new(header, form);
    encoder.page(1, &page);
    let file = encoder.finish();
    let entry = verify(&file).expect("a valid file").entries[0];
    let frame = &file[entry.offset as usize..][..entry.size as usize];
    let mut decoded = vec![0; page.len()];
    bencher.bench_local(|| decode_page(black_box(frame), 1, &mut decoded));
}

#[divan::bench(args = [10_000, 1_000_000])]
fn view_lookup(bencher: Bencher, pages: u32) {
    let subject = Subject::new(pages, 1);
    let mut pgno = scattered(pages);
    bencher.bench_local(|| subject.locate(pgno()));
}

#[divan::bench(args = [1, 100, 10_000])]
fn view_publish(bencher: Bencher, changed: u32) {
    let subject = Subject::new(1_000_000, changed);
    bencher.counter(ItemsCount::new(changed)).bench_local(|| subject.next_view());
}

#[divan::bench(args = [1_000, 100_000])]
fn cache_hit(bencher: Bencher, pages: u32) {
    let subject = Subject::new(pages, 1);
    (1..=pages).for_each(|pgno| assert!(subject.cached(pgno).or_else(|| subject.fetch(pgno)).is_some()));
    let mut pgno = scattered(pages);
    bencher.bench_local(|| subject.cached(pgno()));
}

#[divan::bench(args = [400, 10_000])]
fn plan_newest(bencher: Bencher, files: u64) {
    let listed = listing(files, files / 100);
    bencher.bench_local(|| plan(black_box(&listed)));
}
