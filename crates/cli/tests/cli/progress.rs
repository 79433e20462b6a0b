//! Progress bars on a terminal.

use crate::support::replica::Replica;
use crate::support::store::Store;
use crate::support::{LIMIT, query};
use rexpect::session::spawn_command;

#[test]
fn long_commands_show_a_bar_until_they_end() {
    let replica = Replica::big();
    let (file, cache) = (replica.argument("copy.db"), replica.argument("cache"));
    for (command, arguments, bar, end) in [
        ("export", &[file.as_str()][..], "exporting [", "copy.db: "),
        ("verify", &[], "verifying [", ", none damaged"),
        ("hydrate", &["--cache", &cache], "hydrating [", "cache: complete, the state of TXID 0000000000000001"),
    ] {
        let store = Store::start(&replica.path("replica"), 1 << 20);
        let mut program = query(&[&[command, store.url().as_str()], arguments].concat());
        store.credentials(&mut program).env("TERM", "xterm");
        let mut terminal = spawn_command(program, u64::try_from(LIMIT.as_millis()).ok()).expect("it starts");
        terminal.exp_string(bar).unwrap_or_else(|error| panic!("{command}: {error}"));
        store.open();
        terminal.exp_string(end).unwrap_or_else(|error| panic!("{command}: {error}"));
        terminal.exp_eof().expect("it ends");
    }
}
