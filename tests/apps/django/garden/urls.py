from django.http import FileResponse, HttpResponse
from django.urls import path

urlpatterns = [
    path("", lambda request: HttpResponse("django")),
    path("healthz", lambda request: HttpResponse("own healthz")),
    path("file", lambda request: FileResponse(open("/app/collected/garden.css", "rb"))),
]
