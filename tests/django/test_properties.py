"""Properties of the task API: options, orders and chains, whatever they are."""

from __future__ import annotations

import copy
from collections import deque

import attrs
from django.core.cache import cache
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from djq.core.call import load_call
from djq.core.frame import unpack
from djq.core.options import Options
from djq.tasks import AsyncTask, Chain, async_iter, async_task, fetch_group, result
from tests.django import task_samples as samples
from tests.django.sending_parts import CountingBroker

few = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

NAMES = [field.name for field in attrs.fields(Options)]
TRAVEL = ("hook", "group", "save", "timeout", "max_attempts")
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
options = st.fixed_dictionaries(
    {},
    optional={
        "hook": st.sampled_from(["a.b", "hooks.print_result", None]),
        "group": st.sampled_from(["g", "", None]),
        "save": st.sampled_from([True, False, None]),
        "timeout": st.sampled_from([1, 0.5, None]),
        "cached": st.sampled_from([False, None]),
        "sync": st.sampled_from([False, None]),
        "task_name": st.sampled_from(["mine", None]),
        "on_commit": st.sampled_from([False, None]),
        "max_attempts": st.sampled_from([1, 9, None]),
    },
)
own_keywords = st.dictionaries(st.sampled_from(["key", "func", "args", *"xyz"]), values)
shadows = st.dictionaries(st.sampled_from(NAMES), values)


class OptionsReachTheirPlace(TestCase):
    def hold(self, message, wanted, keywords):
        for name in TRAVEL:
            assert getattr(message, name) == wanted.get(name)
        assert message.cached is False
        if wanted.get("task_name") is not None:
            assert message.name == wanted["task_name"]
        assert load_call(message.body) == ("m.f", (1,), keywords)

    @few
    @given(options, own_keywords)
    def test_keywords_are_options_or_the_function_s(self, wanted, keywords):
        broker = CountingBroker()
        given_keywords = {**keywords, **wanted}
        before = copy.deepcopy(given_keywords)
        async_task("m.f", 1, **given_keywords, broker=broker)
        task = AsyncTask("m.f", 1, **given_keywords, broker=broker)
        task.run()

        assert given_keywords == before
        for message in broker.sent():
            self.hold(message, wanted, keywords)
        assert all(getattr(task, name) == wanted.get(name) for name in NAMES if name != "broker")

    @few
    @given(options, own_keywords, shadows)
    def test_with_q_options_all_other_keywords_are_the_function_s(self, wanted, keywords, shadow):
        broker = CountingBroker()
        q_options, keywords = {**wanted, "broker": broker}, {**keywords, **shadow}
        before = copy.deepcopy((wanted, keywords))
        async_task("m.f", 1, **keywords, q_options=q_options)
        async_iter("m.f", [1], **keywords, q_options=q_options)
        first, element = broker.sent()

        assert (wanted, keywords, q_options) == (*before, {**before[0], "broker": broker})
        self.hold(first, wanted, keywords)
        self.hold(element, {**wanted, "hook": None}, keywords)


class OrderIsKept(TestCase):
    @few
    @given(st.lists(values), st.sampled_from([list, tuple, iter, deque]))
    def test_any_finite_iterable_keeps_its_order(self, elements, make):
        broker = CountingBroker()
        async_iter("m.f", make(elements), broker=broker)
        messages = broker.sent()

        assert [load_call(message.body)[1] for message in messages] == [(one,) for one in elements]
        assert [message.place for message in messages] == list(range(len(elements)))

    @settings(few, max_examples=15)
    @given(st.lists(values, max_size=6), st.booleans())
    def test_its_results_are_in_that_order_too(self, elements, cached):
        iter_id = async_iter(samples.give, iter(elements), sync=True, cached=cached)

        assert result(iter_id, cached=cached) == elements


def promised(fails, *, goes_on, pass_result):
    """What comes of links that each add one to what the one before gave."""
    outcomes, before, stopped = [], 0, False
    for fail in fails:
        if stopped:
            outcomes.append("ChainStopped")
        elif fail:
            outcomes.append("ValueError")
            before, stopped = None, not goes_on
        else:
            before = ((before or 0) if pass_result else 0) + 1
            outcomes.append(before)
    return outcomes


class ChainsEndAsPromised(TestCase):
    @settings(few, max_examples=150)
    @given(
        fails=st.lists(st.booleans(), min_size=1, max_size=5),
        on_failure=st.sampled_from(["stop", "continue"]),
        pass_result=st.booleans(),
        cached=st.booleans(),
        save=st.sampled_from([None, True]),
    )
    def test_failures_at_any_links(self, fails, on_failure, pass_result, cached, save):
        cache.clear()
        start = () if pass_result else (0,)
        chain = Chain(on_failure=on_failure, pass_result=pass_result, cached=cached, sync=True)
        for place, fail in enumerate(fails):
            args = (0,) if place == 0 else start
            chain.append(samples.fail if fail else samples.grow, *args, save=save)
        label = chain.run()
        tasks = list(fetch_group(label, cached=cached))
        outcomes = [task.result if task.success else task.result.split(":")[0] for task in tasks]
        wanted = promised(fails, goes_on=on_failure == "continue", pass_result=pass_result)

        assert outcomes == wanted
        assert chain.result() == [one for one in wanted if isinstance(one, int)]
        assert chain.current() == chain.length() == len(tasks)

    @few
    @given(st.lists(st.tuples(st.lists(values, max_size=2).map(tuple), own_keywords), max_size=6))
    def test_every_link_travels_inside_the_first(self, calls):
        broker = CountingBroker()
        links = [("m.f", args, keywords) for args, keywords in calls]
        before = copy.deepcopy(links)
        Chain(links, broker=broker).run()
        travelling = [message.rest for message in broker.sent() if links]
        found = 0
        while travelling and travelling[-1]:
            link = unpack(travelling[-1])
            found += 1
            assert load_call(link.body) == links[found]
            travelling.append(link.rest)

        assert links == before
        assert found == max(len(links) - 1, 0)
