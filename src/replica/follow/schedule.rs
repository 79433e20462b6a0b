//! What each poll asks for.
//!
//! | poll | request |
//! |---|---|
//! | most | a GET of the next file by name |
//! | every 5th | a GET of one byte of the view's newest file, if that is unchanged: the history is still the view's |
//! | every 30th, and when news stops coming | a listing of level 0 from the view on: it shows a hole |
//! | every 300th (30th if the view is scattered over many files), and in doubt | a listing of the whole replica |
//!
//! A listing of the whole replica that leaves the doubt as it was is not repeated at the next poll but after a pause that
//! grows, up to 30 polls. In between the cheap requests go on, and end the doubt if they can.

use crate::replica::follow::poll::PollPurpose;
use crate::replica::follow::status::StallReason;
use std::time::Duration;
use tokio::time::Instant;

/// The history is checked at every so many polls.
const CHECK_EVERY: u32 = 5;

/// Level 0 is listed at every so many polls.
const LOOK_EVERY: u32 = 30;

/// The whole replica is listed after so many polls.
const LISTING_EVERY: u32 = 300;

/// And after so many, if the view is scattered over many files.
const SCATTERED_LISTING_EVERY: u32 = 30;

/// The longest pause, in polls, between two listings of a replica that gives no newer view.
const LONGEST_PAUSE: u32 = 30;

/// The longest such pause if files of the view are gone.
const OUTDATED_PAUSE: u32 = 5;

/// How many listings in a row must be behind the view before it is believed that the replica began anew.
const BELIEVED: u32 = 3;

/// And after so many, while a damaged file is in the way.
const LOOK_AROUND_EVERY: u32 = 10;

/// A gap between polls of more than this many intervals means that the process slept: files may have come and gone.
const SLEPT: u32 = 5;

/// And of more than this: on a busy machine short intervals are missed by many times their length.
const SLEPT_AT_LEAST: Duration = Duration::from_secs(2);

/// What to ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::replica) enum PollStep {
    /// The next file by name, and whether the history is still the same.
    Ask { check: bool },
    /// Whether the history is still the same.
    Check,
    /// Level 0 from the view on.
    Look,
}

/// What the follower remembers between polls.
#[derive(Default)]
pub(in crate::replica) struct PollProgress {
    since_listing: u32,
    since_look: u32,
    since_check: u32,
    /// Polls in a row that asked for news and got none.
    idle: u32,
    /// Listings in a row that were behind the view.
    behind: u32,
    /// Why the last listing gave no newer view.
    stalled: Option<StallReason>,
    /// It is not certain that the replica still has the history of the view.
    doubt: bool,
    /// Level 0 has files after the view that do not continue it. That the view's own file is there does not explain them.
    beyond: bool,
    /// Polls between two listings for the same doubt.
    pause: u32,
    /// The view's newest file was not there when the history was last checked.
    gone: bool,
    /// The last poll failed.
    failed: bool,
    last: Option<Instant>,
    polls: u32,
    /// The poll at which the whole replica was last listed because of a damaged file.
    looked_around: Option<u32>,
}

impl PollProgress {
    /// Begins a poll. Answers whether the process slept.
    pub(in crate::replica) fn begin(&mut self, interval: Duration) -> bool {
        self.since_listing = self.since_listing.saturating_add(1);
        self.since_look += 1;
        self.since_check += 1;
        self.polls = self.polls.wrapping_add(1);
        let last = self.last.replace(Instant::now());
        last.is_some_and(|last| last.elapsed() > (interval * SLEPT).max(SLEPT_AT_LEAST))
    }

    /// Ends a poll.
    pub(in crate::replica) fn ended(&mut self, failed: bool) {
        self.failed = failed;
    }

    /// Whether the whole replica has to be listed before anything else is asked.
    pub(in crate::replica) fn wants_listing(&self, outdated: bool, scattered: bool) -> bool {
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
    pub(in crate::replica) fn may_list(&self) -> bool {
        self.since_listing >= self.pause
    }

    /// Whether it is uncertain that the view is the newest state.
    pub(in crate::replica) fn is_in_doubt(&self) -> bool {
        self.doubt || self.beyond || self.stalled.is_some()
    }

    /// Whether the whole replica may be listed because of a damaged file.
    pub(in crate::replica) fn may_look_around(&mut self) -> bool {
        let may = self.looked_around.is_none_or(|at| self.polls.wrapping_sub(at) >= LOOK_AROUND_EVERY);
        if may {
            self.looked_around = Some(self.polls);
        }
        may
    }

    /// What the next request is.
    pub(in crate::replica) fn step(&mut self, purpose: PollPurpose) -> PollStep {
        if matches!(self.stalled, Some(StallReason::Empty | StallReason::NoBase)) {
            // Without the view's own files nothing can be laid over it.
            return PollStep::Check;
        }
        if self.since_look >= LOOK_EVERY && !self.is_in_doubt() {
            return PollStep::Look;
        }
        let check = self.since_check >= CHECK_EVERY;
        // After a failure it is the news that has to be asked for: a check could succeed where that fails.
        if check && purpose == PollPurpose::Turn && !self.failed { PollStep::Check } else { PollStep::Ask { check } }
    }

    /// Somebody asked for the next file. Answers whether news stopped coming just now.
    pub(in crate::replica) fn asked(&mut self, got_news: bool) -> bool {
        self.idle = if got_news { 0 } else { self.idle.saturating_add(1) };
        self.idle == 1 && !self.is_in_doubt()
    }

    /// Level 0 was listed from the view on.
    pub(in crate::replica) fn looked(&mut self) {
        self.since_look = 0;
    }

    /// The history was checked. Answers whether the view's newest file is there again after it was gone.
    pub(in crate::replica) fn checked(&mut self, is_ours: bool) -> bool {
        self.since_check = 0;
        let back = std::mem::replace(&mut self.gone, !is_ours) && is_ours;
        if is_ours {
            self.doubt = false;
        }
        back
    }

    /// Something is not explained by what was asked.
    pub(in crate::replica) fn doubted(&mut self) {
        self.doubt = true;
    }

    /// Level 0 has files after the view that do not continue it. What was met before does not delay the listing that this needs.
    pub(in crate::replica) fn saw_beyond(&mut self) {
        if !std::mem::replace(&mut self.beyond, true) {
            self.pause = 0;
        }
    }

    /// News was laid over the view, so nothing is in doubt any more.
    pub(in crate::replica) fn moved_on(&mut self) {
        self.beyond = false;
        (self.doubt, self.stalled, self.pause, self.behind, self.gone) = (false, None, 0, 0, false);
    }

    /// The whole replica was listed. `reason` says why that gave no newer view, `changed` whether there is another view now.
    /// Answers the reason as far as it is believed: a hole has to be seen twice, since files of different levels are not
    /// listed in the same moment.
    pub(in crate::replica) fn listed(&mut self, reason: Option<StallReason>, changed: bool) -> Option<StallReason> {
        let doubted = self.is_in_doubt();
        let seen = self.stalled.is_some_and(|before| before.is_hole());
        self.behind = if reason == Some(StallReason::Behind) { self.behind.saturating_add(1) } else { 0 };
        let grown = self.grown_pause();
        self.pause = match reason {
            None if changed || !doubted => 0,
            None => grown,
            Some(StallReason::Behind) if self.behind <= BELIEVED => 1,
            Some(hole) if hole.is_hole() => {
                if seen {
                    LONGEST_PAUSE
                } else {
                    1
                }
            }
            Some(_) => grown,
        };
        (self.since_listing, self.since_look, self.doubt, self.beyond) = (0, 0, false, false);
        self.gone &= reason.is_some();
        self.stalled = reason;
        reason.filter(|reason| seen || !reason.is_hole())
    }

    /// The whole replica could not be listed, or its files not be read.
    pub(in crate::replica) fn listing_failed(&mut self) {
        (self.since_listing, self.doubt, self.pause) = (0, true, self.grown_pause());
    }

    fn grown_pause(&self) -> u32 {
        (self.pause * 4).clamp(2, LONGEST_PAUSE)
    }

    /// Whether so many listings in a row were behind the view that it is believed.
    pub(in crate::replica) fn is_believed_behind(&self) -> bool {
        self.behind >= BELIEVED
    }
}
