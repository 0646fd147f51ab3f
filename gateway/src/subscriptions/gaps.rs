/// Decides which event comes next, and whether one before it is missing.
#[derive(Debug, Default)]
pub(super) struct GapDetector {
    /// The last position that was dispatched; none while the head is unknown.
    pub(super) last: Option<i64>,
    /// Whether an event may be missing.
    pub(super) behind: bool,
}

/// What the end of a replayed page says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PageEnd {
    /// No event is missing any more.
    CaughtUp,
    /// More events are to be replayed.
    More,
    /// The page neither moved on nor reached the head.
    NoProgress,
    /// The head lies before the last event: the sequence is not the same any more.
    Reset,
}

impl GapDetector {
    /// Takes the position of a live event; returns whether it is the next to dispatch.
    pub(super) fn on_live(&mut self, position: i64) -> bool {
        match self.last {
            Some(last) if position == last + 1 => {
                self.last = Some(position);
                true
            }
            Some(last) if position <= last => false,
            _ => {
                self.behind = true;
                false
            }
        }
    }

    /// Takes the position of an event replayed after [`Self::last`]; returns whether to dispatch it.
    pub(super) fn on_replayed(&mut self, position: i64) -> bool {
        let is_new = self.last.is_none_or(|last| position > last);
        self.last = self.last.max(Some(position));
        is_new
    }

    /// Takes the end of a page replayed after `from`: `next` was scanned, and `head` is the last position there is.
    pub(super) fn on_page_end(&mut self, from: Option<i64>, next: i64, head: i64) -> PageEnd {
        if self.last.is_some_and(|last| head < last) {
            return PageEnd::Reset;
        }
        let last = self.last.map_or(next, |last| last.max(next));
        self.last = Some(last);
        self.behind = last < head;
        match from {
            _ if !self.behind => PageEnd::CaughtUp,
            Some(from) if last <= from => PageEnd::NoProgress,
            Some(_) | None => PageEnd::More,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(last: i64) -> GapDetector {
        GapDetector { last: Some(last), behind: false }
    }

    #[test]
    fn only_the_next_event_is_dispatched_and_only_a_gap_asks_for_replay() {
        for (position, dispatched, behind, last) in [
            (5, false, false, 7),
            (7, false, false, 7),
            (8, true, false, 8),
            (9, false, true, 7),
            (99, false, true, 7),
        ] {
            let mut gaps = at(7);
            assert_eq!(gaps.on_live(position), dispatched, "{position}");
            assert_eq!((gaps.behind, gaps.last), (behind, Some(last)), "{position}");
        }
    }

    #[test]
    fn before_the_head_is_known_nothing_is_dispatched() {
        let mut gaps = GapDetector::default();
        assert!(!gaps.on_live(8));
        assert!(gaps.behind);
        assert_eq!(gaps.on_page_end(None, 8, 8), PageEnd::CaughtUp);
        assert!(!gaps.on_live(8));
        assert!(gaps.on_live(9));
    }

    #[test]
    fn a_gap_is_closed_by_replay_and_what_comes_again_live_is_dropped() {
        let mut gaps = at(7);
        assert!(!gaps.on_live(10));
        assert_eq!([8, 9, 10].map(|position| gaps.on_replayed(position)), [true, true, true]);
        assert_eq!(gaps.on_page_end(Some(7), 10, 11), PageEnd::More);
        assert!(gaps.on_replayed(11));
        assert_eq!(gaps.on_page_end(Some(10), 11, 11), PageEnd::CaughtUp);
        assert!(!gaps.on_live(11));
        assert!(gaps.on_live(12));
        assert!(!gaps.behind);
    }

    #[test]
    fn live_events_go_on_while_a_suspicion_is_unfounded() {
        let mut gaps = at(7);
        gaps.behind = true;
        assert!(gaps.on_live(8));
        assert!(!gaps.on_replayed(8));
        assert_eq!(gaps.on_page_end(Some(7), 8, 8), PageEnd::CaughtUp);
    }

    #[test]
    fn a_head_before_the_last_event_and_a_page_without_progress_are_noticed() {
        assert_eq!(at(7).on_page_end(Some(7), 3, 3), PageEnd::Reset);
        assert_eq!(at(7).on_page_end(Some(7), 7, 9), PageEnd::NoProgress);
    }
}
