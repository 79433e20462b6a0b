//! What each poll requests.
//!
//! | poll | request |
//! |---|---|
//! | most | a GET of the next file by name |
//! | every 5th | a conditional GET of one byte of the view's newest file: if that is unchanged, the history is the same |
//! | every 30th, and when newer files stop coming | a listing of level 0 from the view on, which shows a hole |
//! | every 300th (30th if the pages of the view are in many files), and in doubt | a listing of the whole replica |
//!
//! If a listing of the whole replica does not end a doubt, it is repeated after a pause that grows up to 30 polls.
//! During the pause the cheap requests continue, and end the doubt if they can.

use crate::replica::follow::health::StallReason;
use crate::replica::follow::poll::PollPurpose;
use crate::time::Stamp;
use std::time::Duration;

/// The history is checked at every so many polls.
const CHECK_EVERY: u32 = 5;

/// Level 0 is listed at every so many polls.
const LIST_LEVEL_0_EVERY: u32 = 30;

/// The whole replica is listed after so many polls.
const LISTING_EVERY: u32 = 300;

/// The same if the pages of the view are in many files.
const SCATTERED_LISTING_EVERY: u32 = 30;

/// The longest pause, in polls, between two listings of a replica that show no newer state.
const LONGEST_PAUSE: u32 = 30;

/// The longest such pause if files of the view have vanished.
const OUTDATED_PAUSE: u32 = 5;

/// After so many listings in a row that end before the view, the replica is taken for a new one.
const BELIEVED: u32 = 3;

/// The whole replica is listed at every so many polls because of a damaged file.
const LOOK_AROUND_EVERY: u32 = 10;

/// If the time between two polls is more than this many intervals, the process was suspended: files may have been
/// created and deleted meanwhile.
const SLEPT: u32 = 5;

/// And more than this: on a busy machine, short intervals are exceeded many times over.
const SLEPT_AT_LEAST: Duration = Duration::from_secs(2);

/// The next request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PollStep {
    /// The next file by name; with `check`, also whether the history is the same.
    RequestNext { check: bool },
    /// Whether the history is the same.
    Check,
    /// A listing of level 0 from the view on.
    ListLevel0,
}

/// What the follower remembers between polls.
#[derive(Default)]
pub(in crate::replica) struct PollProgress {
    since_listing: u32,
    since_level_0: u32,
    since_check: u32,
    /// Polls in a row that found no newer file.
    idle: u32,
    /// Listings in a row that ended before the view.
    behind: u32,
    /// Why there was no newer view after the last listing.
    stalled: Option<StallReason>,
    /// It is not certain that the replica still has the history of the view.
    doubt: bool,
    /// Level 0 has files after the view that do not continue it. The view's own file does not explain them.
    beyond: bool,
    /// Polls between two listings for the same doubt.
    pause: u32,
    /// The view's newest file was missing when the history was last checked.
    missing: bool,
    /// The last poll failed.
    failed: bool,
    last: Option<Stamp>,
    polls: u32,
    /// The poll at which the whole replica was last listed because of a damaged file.
    looked_around: Option<u32>,
}

impl PollProgress {
    /// Begins a poll. Returns whether the process was suspended.
    pub(super) fn begin(&mut self, interval: Duration) -> bool {
        self.since_listing = self.since_listing.saturating_add(1);
        self.since_level_0 += 1;
        self.since_check += 1;
        self.polls = self.polls.wrapping_add(1);
        let has_slept = self.has_slept(interval);
        self.last = Some(Stamp::now());
        has_slept
    }

    /// Records that the process is running, and leaves a poll to another one.
    pub(super) fn leave(&mut self, interval: Duration) {
        if !self.has_slept(interval) {
            self.last = Some(Stamp::now());
        }
    }

    fn has_slept(&self, interval: Duration) -> bool {
        self.last.is_some_and(|last| last.age() > (interval * SLEPT).max(SLEPT_AT_LEAST))
    }

    /// Ends a poll.
    pub(super) fn ended(&mut self, failed: bool) {
        self.failed = failed;
    }

    /// Whether the whole replica must be listed before any other request.
    pub(super) fn wants_listing(&self, outdated: bool, scattered: bool) -> bool {
        match self.is_in_doubt() {
            true if outdated => self.since_listing >= self.pause.min(OUTDATED_PAUSE),
            true => self.may_list(),
            false => {
                let scattered = scattered && self.since_listing >= SCATTERED_LISTING_EVERY;
                outdated || scattered || self.since_listing >= LISTING_EVERY
            }
        }
    }

    /// Whether a doubt may lead to a listing of the whole replica now.
    pub(super) fn may_list(&self) -> bool {
        self.since_listing >= self.pause
    }

    /// Whether it is uncertain that the view is the newest state.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.doubt || self.beyond || self.stalled.is_some()
    }

    /// Whether the whole replica may be listed now because of a damaged file.
    pub(super) fn may_look_around(&mut self) -> bool {
        let may = self.looked_around.is_none_or(|at| self.polls.wrapping_sub(at) >= LOOK_AROUND_EVERY);
        if may {
            self.looked_around = Some(self.polls);
        }
        may
    }

    /// Chooses the next request.
    pub(super) fn step(&mut self, purpose: PollPurpose) -> PollStep {
        if matches!(self.stalled, Some(StallReason::Empty | StallReason::NoBase)) {
            // Without the view's own files no newer file can be applied to it.
            return PollStep::Check;
        }
        if self.since_level_0 >= LIST_LEVEL_0_EVERY && !self.is_in_doubt() {
            return PollStep::ListLevel0;
        }
        let check = self.since_check >= CHECK_EVERY;
        // After a failure the next file must be requested: a check could succeed although that fails.
        if check && purpose == PollPurpose::Turn && !self.failed {
            PollStep::Check
        } else {
            PollStep::RequestNext { check }
        }
    }

    /// Records that the next file was requested. Returns whether newer files stopped coming with this poll.
    pub(super) fn requested(&mut self, is_newer: bool) -> bool {
        self.idle = if is_newer { 0 } else { self.idle.saturating_add(1) };
        self.idle == 1 && !self.is_in_doubt()
    }

    /// Records that level 0 was listed from the view on.
    pub(super) fn listed_level_0(&mut self) {
        self.since_level_0 = 0;
    }

    /// Records a check of the history. Returns whether the view's newest file is there again after it was missing.
    pub(super) fn checked(&mut self, is_same: bool) -> bool {
        self.since_check = 0;
        let back = std::mem::replace(&mut self.missing, !is_same) && is_same;
        if is_same {
            self.doubt = false;
        }
        back
    }

    /// Records that a request found something that it does not explain.
    pub(super) fn doubted(&mut self) {
        self.doubt = true;
    }

    /// Records that level 0 has files after the view that do not continue it. An earlier doubt does not delay the
    /// listing for this one.
    pub(super) fn saw_beyond(&mut self) {
        if !std::mem::replace(&mut self.beyond, true) {
            self.pause = 0;
        }
    }

    /// Records that newer files were applied to the view, which ends every doubt.
    pub(super) fn moved_on(&mut self) {
        self.beyond = false;
        (self.doubt, self.stalled, self.pause, self.behind, self.missing) = (false, None, 0, 0, false);
    }

    /// Records a listing of the whole replica. `reason` says why there is no newer view, `changed` whether there is
    /// another view now. Returns the reason if it is believed: a hole has to be seen twice, because different levels
    /// are listed at slightly different times.
    pub(super) fn listed(&mut self, reason: Option<StallReason>, changed: bool) -> Option<StallReason> {
        let doubted = self.is_in_doubt();
        let seen = self.stalled.is_some_and(|before| before.is_hole());
        self.behind = if reason == Some(StallReason::Behind) { self.behind.saturating_add(1) } else { 0 };
        let grown = self.grown_pause();
        self.pause = match reason {
            None if changed || !doubted => 0,
            None => grown,
            Some(StallReason::Behind) if self.behind <= BELIEVED => 1,
            Some(hole) if hole.is_hole() && seen => LONGEST_PAUSE,
            Some(hole) if hole.is_hole() => 1,
            Some(_) => grown,
        };
        (self.since_listing, self.since_level_0, self.doubt, self.beyond) = (0, 0, false, false);
        self.missing &= reason.is_some();
        self.stalled = reason;
        reason.filter(|reason| seen || !reason.is_hole())
    }

    /// Records that the whole replica could not be listed, or that its files could not be read.
    pub(super) fn listing_failed(&mut self) {
        (self.since_listing, self.doubt, self.pause) = (0, true, self.grown_pause());
    }

    fn grown_pause(&self) -> u32 {
        (self.pause * 4).clamp(2, LONGEST_PAUSE)
    }

    /// Whether so many listings in a row ended before the view that they are believed.
    pub(super) fn is_believed_behind(&self) -> bool {
        self.behind >= BELIEVED
    }
}
