from django.urls import path

from shop import views

urlpatterns = [
    path("orders/", views.orders),
    path("async/orders/", views.async_orders),
    path("past/", views.past),
    path("async/past/", views.async_past),
    path("visits/", views.visits),
    path("sales/", views.sales),
]
