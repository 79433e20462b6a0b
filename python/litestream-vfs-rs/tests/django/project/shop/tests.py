"""Tests for `manage.py test`: of a site that has replicas, and knows nothing of them."""

from django.db import connections, router, transaction
from django.test import TestCase, TransactionTestCase

from litestream_vfs_rs.django import get_vfs_status, primary_txid, read_after, time_travel, wait_for
from shop.models import Order


class WithPrimary(TestCase):
    """Does not mention the replicas, so a read from one would fail."""

    def test_reads_are_from_the_test_database(self):
        Order.objects.create(status="test")
        self.assertEqual([order.status for order in Order.objects.all()], ["test"])

    def test_requests_write_and_read(self):
        self.client.post("/orders/", {"status": "posted"})
        self.assertEqual(self.client.get("/orders/").json()["statuses"], ["posted"])


class WithReplicas(TransactionTestCase):
    databases = "__all__"

    def test_a_replica_is_the_test_database(self):
        Order.objects.create(status="test")
        self.assertEqual([order.status for order in Order.objects.using("prod_replica")], ["test"])
        self.assertEqual(connections["prod_replica"].settings_dict["NAME"], connections["default"].settings_dict["NAME"])

    def test_what_is_read_from_a_replica_is_written_to_the_primary(self):
        for alias in connections:
            order = Order.objects.using(alias).create(status="test")
            self.assertEqual(router.db_for_write(Order, instance=order), "default")
            self.assertEqual(router.db_for_read(Order, instance=order), alias)

    def test_a_transaction_reads_what_belongs_to_an_object_from_the_primary(self):
        Order.objects.create(status="test")
        order = Order.objects.using("prod_replica").get()
        with transaction.atomic():
            Order.objects.create(status="later")
            self.assertEqual(router.db_for_read(Order, instance=order), "default")
        self.assertEqual(router.db_for_read(Order, instance=order), "prod_replica")

    def test_what_needs_a_replica_reads_the_test_database(self):
        Order.objects.create(status="test")
        with time_travel("prod_replica", "1 hour ago") as past:
            self.assertEqual(Order.objects.using(past).count(), 1)
        self.assertIs(wait_for("prod_replica", 10**6), True)
        self.assertIs(get_vfs_status("prod_replica")["is_vfs"], False)
        with read_after("prod_replica", primary_txid()) as database:
            self.assertEqual(Order.objects.using(database).count(), 1)
