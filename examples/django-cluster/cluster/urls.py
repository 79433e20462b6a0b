from django.contrib import admin
from django.urls import path

from board import views

urlpatterns = [
    path("api/health/", views.health),
    path("api/messages/", views.messages),
    path("api/messages/create/", views.create),
    path("api/stats/", views.stats),
    path("admin/", admin.site.urls),
]
