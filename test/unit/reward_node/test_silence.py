"""When the robot is given up, and when the next episode may be asked for."""

from reward_node.silence import TAKEN_BACK_S, Silence
from so101.episode import EpisodeState

PATIENCE_S = 20.0


def test_silence_counts_from_the_last_word_and_from_a_request():
    silence = Silence(PATIENCE_S, 0.0)
    assert not silence.is_too_long(PATIENCE_S)
    assert silence.is_too_long(PATIENCE_S + 0.1)
    silence.on_sample(5.0)
    assert not silence.is_too_long(PATIENCE_S + 5.0)
    silence.on_told(EpisodeState.RESETTING, 100.0)  # time stood still while the learner trained
    assert not silence.is_too_long(100.1)
    silence.on_told(EpisodeState.RUNNING, 110.0)
    assert silence.is_too_long(100.1 + PATIENCE_S)


def test_the_next_request_waits_only_for_a_reset_that_was_taken_back():
    silence = Silence(PATIENCE_S, 0.0)
    assert silence.may_ask(0.0)
    for state in (EpisodeState.RESETTING, EpisodeState.RUNNING, EpisodeState.DISCARDED):
        silence.on_told(state, 1.0)
    assert silence.may_ask(1.0)
    silence.on_told(EpisodeState.RESETTING, 2.0)
    silence.on_told(EpisodeState.IDLE, 2.5)  # the session says what it waits for
    silence.on_told(EpisodeState.DISCARDED, 3.0)
    assert not silence.may_ask(3.0 + TAKEN_BACK_S / 2)
    assert silence.may_ask(3.0 + TAKEN_BACK_S)
