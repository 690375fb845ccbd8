"""A sourced ROS distribution stays out of child processes, everything else comes through."""

from hypothesis import given
from hypothesis import strategies as st

from so101_bringup.environment import FOREIGN_VARIABLES, WHEELS_MARK, clean_environment

names = st.sampled_from(FOREIGN_VARIABLES) | st.text("ABCDEFGH_", min_size=1)
environments = st.dictionaries(names, st.text())


@given(environments)
def test_with_wheels_exactly_the_foreign_variables_go(environ):
    environ[WHEELS_MARK] = "1"
    cleaned = clean_environment(environ)
    assert cleaned == {k: v for k, v in environ.items() if k not in FOREIGN_VARIABLES}


@given(environments)
def test_on_a_distribution_everything_stays(environ):
    environ.pop(WHEELS_MARK, None)
    assert clean_environment(environ) == environ


@given(environments)
def test_it_is_idempotent_and_leaves_its_argument_alone(environ):
    before = dict(environ)
    cleaned = clean_environment(environ)
    assert environ == before
    assert clean_environment(cleaned) == cleaned


def test_the_wheels_mark_and_the_library_path_go_together():
    assert {WHEELS_MARK, "LD_LIBRARY_PATH", "PYTHONPATH"} <= set(FOREIGN_VARIABLES)


def test_the_users_network_settings_stay():
    environ = {WHEELS_MARK: "1", "ROS_DOMAIN_ID": "7", "ROS_STATIC_PEERS": "10.0.0.2"}
    assert set(clean_environment(environ)) == {"ROS_DOMAIN_ID", "ROS_STATIC_PEERS"}
