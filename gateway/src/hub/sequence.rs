/// Which event comes next, and whether something before it is missing.
#[derive(Debug, Default)]
pub(super) struct Sequence {
    last: Option<i64>,
    behind: bool,
}

/// What the end of a replayed page says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Scanned {
    /// Nothing is missing any more.
    CaughtUp,
    /// More is to be replayed.
    More,
    /// Neither did it move on nor is it at the head.
    Stuck,
    /// The head lies before what was heard already: this is not the same sequence any more.
    Rewound,
}

impl Sequence {
    /// The last position that was told; none while the head is unknown.
    pub(super) fn last(&self) -> Option<i64> {
        self.last
    }

    /// Whether something may be missing.
    pub(super) fn is_behind(&self) -> bool {
        self.behind
    }

    /// Something may have been missed.
    pub(super) fn suspect(&mut self) {
        self.behind = true;
    }

    /// An event was heard live. Says whether it is the next one to tell.
    pub(super) fn hear(&mut self, position: i64) -> bool {
        match self.last {
            Some(last) if position == last + 1 => {
                self.last = Some(position);
                true
            }
            Some(last) if position <= last => false,
            Some(_) | None => {
                self.behind = true;
                false
            }
        }
    }

    /// An event was replayed after [`Sequence::last`]. Says whether it is to be told.
    pub(super) fn replay(&mut self, position: i64) -> bool {
        let new = self.last.is_none_or(|last| position > last);
        if new {
            self.last = Some(position);
        }
        new
    }

    /// A replayed page ended: `next` was scanned, and `head` is the last position there is.
    pub(super) fn scanned(&mut self, from: Option<i64>, next: i64, head: i64) -> Scanned {
        if self.last.is_some_and(|last| head < last) {
            return Scanned::Rewound;
        }
        let last = self.last.map_or(next, |last| last.max(next));
        self.last = Some(last);
        self.behind = last < head;
        match from {
            _ if !self.behind => Scanned::CaughtUp,
            Some(from) if last <= from => Scanned::Stuck,
            Some(_) | None => Scanned::More,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(last: i64) -> Sequence {
        Sequence { last: Some(last), behind: false }
    }

    #[test]
    fn only_the_next_event_is_told_and_only_a_gap_asks_for_replay() {
        for (position, told, behind, last) in [
            (5, false, false, 7),
            (7, false, false, 7),
            (8, true, false, 8),
            (9, false, true, 7),
            (99, false, true, 7),
        ] {
            let mut sequence = at(7);
            assert_eq!(sequence.hear(position), told, "{position}");
            assert_eq!((sequence.is_behind(), sequence.last()), (behind, Some(last)), "{position}");
        }
    }

    #[test]
    fn before_the_head_is_known_nothing_is_told() {
        let mut sequence = Sequence::default();
        assert!(!sequence.hear(8));
        assert!(sequence.is_behind());
        assert_eq!(sequence.scanned(None, 8, 8), Scanned::CaughtUp);
        assert!(!sequence.hear(8));
        assert!(sequence.hear(9));
    }

    #[test]
    fn a_gap_is_closed_by_replay_and_what_comes_again_live_is_dropped() {
        let mut sequence = at(7);
        assert!(!sequence.hear(10));
        let told: Vec<bool> = [8, 9, 10].map(|position| sequence.replay(position)).into();
        assert_eq!(told, [true, true, true]);
        assert_eq!(sequence.scanned(Some(7), 10, 11), Scanned::More);
        assert!(sequence.replay(11));
        assert_eq!(sequence.scanned(Some(10), 11, 11), Scanned::CaughtUp);
        assert!(!sequence.hear(11));
        assert!(sequence.hear(12));
        assert!(!sequence.is_behind());
    }

    #[test]
    fn live_events_go_on_while_a_suspicion_is_unfounded() {
        let mut sequence = at(7);
        sequence.suspect();
        assert!(sequence.hear(8));
        assert!(!sequence.replay(8));
        assert_eq!(sequence.scanned(Some(7), 8, 8), Scanned::CaughtUp);
    }

    #[test]
    fn a_head_before_the_last_event_and_a_page_that_leads_nowhere_are_noticed() {
        assert_eq!(at(7).scanned(Some(7), 3, 3), Scanned::Rewound);
        assert_eq!(at(7).scanned(Some(7), 7, 9), Scanned::Stuck);
    }
}
