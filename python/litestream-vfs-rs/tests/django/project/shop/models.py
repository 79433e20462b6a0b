from django.db import models


class Customer(models.Model):
    name = models.CharField(max_length=100)


class Order(models.Model):
    customer = models.ForeignKey(Customer, models.CASCADE, null=True)
    status = models.CharField(max_length=20, default="pending")
    amount = models.IntegerField(default=0)


class Label(models.Model):
    text = models.CharField(max_length=20)
    orders = models.ManyToManyField(Order)
